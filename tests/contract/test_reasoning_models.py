"""Teachers and judges that refuse `max_tokens` and `temperature`, and students whose template has a switch to think."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.compared import rows
from tests.contract.gateway import Gateway, chat, merged, running
from tests.contract.scripted import Received, ScriptedUpstream, answer, completion, error_answer
from tests.contract.test_live_check import Upstreams, line
from tests.contract.test_observe import results

JUDGED: dict[str, Any] = {
    "road": {"sample": 1.0, "scorer": "judge", "concurrency": 1},
    "ledger": {"store_prompts": True},
}
LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
)
VERDICT = json.dumps({"reason": "r", "score_a": 8, "score_b": 8, "winner": "tie"})


def refusing(upstream: ScriptedUpstream) -> None:
    upstream.on('"max_tokens"', *error_answer(400, LIMIT))
    upstream.on('"temperature"', *error_answer(400, TEMPERATURE))


def verdicts(upstream: ScriptedUpstream) -> list[Received]:
    return [one for one in upstream.received if b"[answer A" in one.body]


def ask(gateway: Gateway, text: str = "What is it?", **fields: Any) -> None:
    assert gateway.post(chat(text, **fields)).status == 200


def test_a_refusing_teacher_is_compared_and_judges(tmp_path: Path) -> None:
    with running(tmp_path, JUDGED) as gateway:
        refusing(gateway.teacher)
        gateway.teacher.on("[answer A", *answer(completion(VERDICT)))
        gateway.teacher.default(*answer(completion("Paris.")))
        ask(gateway, max_tokens=50, temperature=0.5)
        rows(gateway, 1)
        asked = [one.json for one in gateway.teacher.received if b"[answer A" not in one.body]
        assert [("max_tokens" in one, "temperature" in one) for one in asked] == [
            (True, True), (False, True), (False, False),
        ]  # fmt: skip
        assert asked[-1]["max_completion_tokens"] == 50
        assert [one.json["max_completion_tokens"] for one in verdicts(gateway.teacher)] == [8192, 8192]
        assert all("response_format" in one.json for one in verdicts(gateway.teacher)), (
            "the form is not what it refused"
        )
        before = len(gateway.teacher.received)
        ask(gateway, "And now?", max_tokens=50, temperature=0.5)
        rows(gateway, 2)
        assert len(gateway.teacher.received) == before + 3, "it is remembered"


def test_a_verdict_that_was_cut_off_is_none_and_said(tmp_path: Path) -> None:
    with running(tmp_path, merged(JUDGED, {"road": {"judge_max_tokens": 700}})) as gateway:
        cut = completion(VERDICT)
        cut["choices"][0]["finish_reason"] = "length"
        gateway.teacher.on("[answer A", *answer(cut))
        gateway.teacher.default(*answer(completion("Paris.")))
        ask(gateway)
        eventually(lambda: results(gateway, "student_answered") == {"failed": 1})
        assert verdicts(gateway.teacher)[0].json["max_tokens"] == 700
        assert "cut off at 700 tokens; give a higher road.judge_max_tokens" in gateway.log.read_text()


def test_a_judge_with_a_small_window_gets_a_smaller_limit(tmp_path: Path) -> None:
    with running(tmp_path, JUDGED) as gateway:
        words = "This model's maximum context length is 4096 tokens. However, you requested 8192 output tokens."
        gateway.teacher.on('"max_tokens":8192', *error_answer(400, words))
        gateway.teacher.on("[answer A", *answer(completion(VERDICT)))
        gateway.teacher.default(*answer(completion("Paris.")))
        ask(gateway)
        assert rows(gateway, 1)[0]["student_score"] == 0.8
        assert [one.json["max_tokens"] for one in verdicts(gateway.teacher)] == [8192, 512] * 2


def test_variables_of_the_template_are_sent_to_the_student_alone(tmp_path: Path) -> None:
    settings = {"student": {"chat_template_kwargs": {"enable_thinking": False, "effort": "low"}}}
    with running(tmp_path, settings) as gateway:
        ask(gateway)
        assert gateway.student.last.json["chat_template_kwargs"] == {"enable_thinking": False, "effort": "low"}
        ask(gateway, chat_template_kwargs={"enable_thinking": True})
        assert gateway.student.last.json["chat_template_kwargs"] == {"enable_thinking": True, "effort": "low"}
        ask(gateway, model="teacher")
        assert "chat_template_kwargs" not in gateway.teacher.last.json
        gateway.post({"prompt": "Once", "model": "student"}, path="/v1/completions")
        assert "chat_template_kwargs" not in gateway.student.last.json, "there is no template"


@pytest.mark.parametrize(
    "message",
    [
        "Could not finish the message because max_tokens or model output limit was reached. Try again.",
        "Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.",
    ],
)
def test_the_live_check_gives_a_reasoning_model_room(tmp_path: Path, message: str) -> None:
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        student.default(*answer(completion("yes")))
        teacher.on('"max_tokens": 1,', *error_answer(400, message))
        teacher.on('"max_tokens": 1}', *error_answer(400, message))
        teacher.default(*answer(completion("yes")))
        code, lines = Upstreams(tmp_path, student, teacher).check()
    assert code == 0
    line(lines, r"ok    teacher: big answers, .*")
    line(lines, r"ok    teacher: it accepts tools")
    assert {one.json["max_tokens"] for one in teacher.received} == {1, 16}
