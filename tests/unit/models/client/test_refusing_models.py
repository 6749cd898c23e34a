"""Teachers and judges that refuse `max_tokens` and `temperature`: what they refuse is left out and remembered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from breakeven.gateway.wire.refusals import Refusals
from breakeven.models.client.budget import Budget, prices
from breakeven.models.client.call_runner import Account
from breakeven.models.client.chat import Call, Chat, Reply, read_reply
from breakeven.models.client.journal import Journal
from breakeven.models.client.pool import Pool
from breakeven.models.scoring import judge
from tests.unit.models.support.batches import serve_batches
from tests.unit.models.support.generating import answer, prompts, rows, run
from tests.unit.models.support.reasoning import refusing
from tests.unit.models.support.teacher import Teacher, completion, error, serve

VERDICT = json.dumps({"reason": "r", "score_a": 5, "score_b": 5, "winner": "tie"})
PAIRS = [judge.Pair([{"role": "user", "content": f"q{i}"}], f"student {i}", f"teacher {i}") for i in range(3)]


def judged(teacher: Teacher, path: Path, **more: Any) -> judge.Judged:
    async def ask() -> judge.Judged:
        with Journal(path) as journal:
            async with Chat(teacher.url, "judge") as chat:
                pool = Pool(chat, Account(journal, prices("1", "2"), Budget(None)), concurrency=1)
                return await judge.judge(pool, journal, PAIRS, **more)

    return asyncio.run(ask())


def test_generate_leaves_out_what_the_teacher_refuses(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 12), tmp_path / "data"
    with serve(refusing(answer)) as teacher:
        done = run(teacher, file, out, "--temperature", "0.3", "--max-tokens", "77", "--concurrency", "1")
        assert done.returncode == 0, done.stderr
        assert len(rows(out / "train.jsonl")) + len(rows(out / "eval.jsonl")) == 12
        assert len(teacher.bodies) == 14, "one refusal for each field, then none"
        assert all(body["max_completion_tokens"] == 77 and "temperature" not in body for body in teacher.bodies[2:])
        assert "leaves out temperature" in done.stdout, "the dataset is not what the options say"
        assert json.loads((out / "card.json").read_text())["teacher"]["refused"] == ["temperature"]


def test_batches_send_refused_rows_again(tmp_path: Path) -> None:
    file, out = prompts(tmp_path, 8), tmp_path / "data"
    with serve_batches(refusing(answer)) as api:
        done = run(api.teacher, file, out, "--batch", "--poll-seconds", "0.05", "--temperature", "0.3")
        assert done.returncode == 0, done.stderr
        assert len(rows(out / "train.jsonl")) + len(rows(out / "eval.jsonl")) == 8
        assert api.steps["create"] == 3
        assert set(api.teacher.answered.values()) == {1}


def test_an_unknown_limit_field_is_an_error(tmp_path: Path) -> None:
    with serve(answer) as teacher:
        done = run(teacher, prompts(tmp_path, 1), tmp_path / "data", "--limit-field", "max_words")
        assert (done.returncode, teacher.bodies) == (2, [])
        assert "must be max_tokens or max_completion_tokens" in done.stderr


def test_a_judge_is_asked_without_what_it_refuses_and_keeps_its_form(tmp_path: Path) -> None:
    with serve(refusing(lambda body: VERDICT)) as teacher:
        assert [one.winner for one in judged(teacher, tmp_path / "j").judgements if one] == ["tie"] * 3
        accepted = teacher.bodies[2:]
        assert len(accepted) == 6
        assert all("response_format" in body and body["max_completion_tokens"] == 8192 for body in accepted)


def test_a_judge_with_a_small_window_gets_a_smaller_limit(tmp_path: Path) -> None:
    words = "This model's maximum context length is 4096 tokens. However, you requested 8192 output tokens"

    def script(body: dict[str, Any]) -> Response | str:
        return error(400, words) if body["max_tokens"] > 4000 else VERDICT

    with serve(script) as teacher:
        found = judged(teacher, tmp_path / "j")
        assert [one.winner for one in found.judgements if one] == ["tie"] * 3
        assert {body["max_tokens"] for body in teacher.bodies} == {8192, 512}


def test_a_verdict_that_the_limit_cut_off_is_none_until_there_is_more_room(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Response:
        limit = body["max_tokens"]
        finish = "length" if limit <= 8192 else "stop"
        return JSONResponse(completion(f"{VERDICT} but", finish, output=min(limit, 9000)))

    with serve(script) as teacher:
        found = judged(teacher, tmp_path / "j")
        assert (found.judgements, found.unreadable, found.cut_off) == ([None] * 3, 0, 3)
        asked = len(teacher.bodies)
        assert judged(teacher, tmp_path / "j").cut_off == 3
        assert len(teacher.bodies) == asked, "the same limit would cut it off again"
        more = judged(teacher, tmp_path / "j", max_tokens=16384)
        assert ([one.winner for one in more.judgements if one], more.cut_off) == (["tie"] * 3, 0)
        assert len(teacher.bodies) == asked + 6
        assert judged(teacher, tmp_path / "j") == more
        assert len(teacher.bodies) == asked + 6


def test_what_one_role_learned_another_knows() -> None:
    known = Refusals()

    async def both(url: str) -> None:
        for _ in range(2):
            async with Chat(url, "big", refusals=known) as chat:
                await chat.complete(Call("k", [{"role": "user", "content": "q"}], 5, {"temperature": 0}))

    with serve(refusing(answer)) as teacher:
        asyncio.run(both(teacher.url))
        assert len(teacher.bodies) == 4


def message(**fields: Any) -> Reply:
    made = completion("")
    made["choices"][0]["message"] |= fields
    return read_reply(made, 1.0)


@pytest.mark.parametrize(
    ("fields", "reasoning", "text"),
    [
        ({"content": "\n\nyes", "reasoning_content": "so\n"}, "so", "yes"),
        ({"content": "yes", "reasoning": "so"}, "so", "yes"),
        ({"content": "<think>\nso\n</think>\n\nyes"}, "so", "yes"),
        ({"content": "so\n</think>\n\nyes"}, "so", "yes"),
        ({"content": "<think>\n\n</think>\n\nyes"}, None, "yes"),
        ({"content": "<think>\nso"}, "so", ""),
        ({"content": "Write <think> and </think>."}, None, "Write <think> and </think>."),
        ({"content": "  yes\n"}, None, "  yes\n"),
    ],
)
def test_reasoning_is_told_from_the_answer(fields: dict[str, Any], reasoning: str | None, text: str) -> None:
    assert (message(**fields).reasoning, message(**fields).text) == (reasoning, text)
