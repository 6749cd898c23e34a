"""Comparisons of the student's answers, and feedback: off the response path, within their budget, in the ledger."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Response, eventually
from tests.contract.gateway import Gateway, chat, merged, running
from tests.contract.scripted import (
    DONE,
    End,
    ExpectDisconnect,
    Head,
    ScriptedUpstream,
    Send,
    Sleep,
    answer,
    completion,
    delta,
    error_answer,
    usage_chunk,
)
from tests.contract.test_road import breakeven

CONFIG = {"road": {"sample": 1.0, "scorer": "judge", "concurrency": 1}, "ledger": {"store_prompts": True}}
# The scripted usage: 10 prompt tokens at 10 USD and 3 output tokens at 20 USD a million.
CALL = 160_000_000
ENDS = ("", "_lower", "_upper")


def verdict(winner: str, a: float, b: float) -> list[Any]:
    return answer(completion(json.dumps({"reason": "r", "score_a": a, "score_b": b, "winner": winner})))


def outcomes(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """The ledger's outcome rows, once there are that many."""

    def read() -> list[dict[str, Any]]:
        gateway.get("/metrics")
        with contextlib.closing(sqlite3.connect(gateway.folder / "ledger.db")) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM outcomes ORDER BY at, source")]

    return list(eventually(lambda: found if len(found := read()) >= count else None))


def ask(gateway: Gateway, text: str = "What is the capital of France?", **fields: Any) -> Response:
    response = gateway.post(chat(text, **fields))
    assert response.status == 200
    return response


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, CONFIG) as gateway:
        yield gateway


@pytest.mark.parametrize("stream", [False, True])
def test_both_answers_are_judged_in_both_orders(fresh: Gateway, stream: bool) -> None:
    fresh.teacher.default(*answer(completion("Paris.", {"prompt_tokens": 10, "completion_tokens": 9})))
    fresh.teacher.on("[answer A", *verdict("A", 9, 5))
    response = ask(fresh, stream=stream, logprobs=True, temperature=0.5)
    (row,) = outcomes(fresh, 1)
    record = fresh.record(response)
    # A judge that always says A is one that says nothing: a tie.
    assert (row["request"], row["source"], row["student_score"], row["teacher_score"]) == (
        record["id"], "shadow", 0.7, 0.7,
    )  # fmt: skip
    assert (row["student_tokens"], row["teacher_tokens"], row["weight"]) == (3, 9, 1.0)
    asked, first, second = (request.json for request in fresh.teacher.received)
    assert asked["model"] == first["model"] == "big"
    assert {"stream", "logprobs", "stream_options"} & set(asked) == set()
    assert asked["temperature"] == 0.5
    assert "hello" in str(first["messages"])
    assert "Paris." in str(first["messages"])
    assert str(first["messages"]).index("hello") < str(first["messages"]).index("Paris.")
    assert str(second["messages"]).index("Paris.") < str(second["messages"]).index("hello")


def test_a_judge_that_always_says_a_measures_nothing(fresh: Gateway) -> None:
    fresh.teacher.default(*answer(completion("Paris.")))
    fresh.teacher.on("[answer A", *verdict("A", 9, 5))
    for number in range(12):
        ask(fresh, f"question {number}")
    outcomes(fresh, 12)
    # Equal texts are compared without the judge: what is left must not pass for all.
    fresh.teacher.on("equal", *answer(completion("hello")))
    ask(fresh, "equal")
    outcomes(fresh, 13)
    documents = [json.loads(one) for (one,) in fresh.rows("SELECT document FROM conversations WHERE kind = 'verdicts'")]
    assert documents == [{"judges": {"big": "AA"}, "student_length": 5, "teacher_length": 6}] * 12
    done = breakeven(fresh, "report", "--json")
    said = json.loads(done.stdout)
    assert (said["quality_retention"], said["student_quality_retention"]) == (None, None)
    (judge,) = said["judges"]
    assert (judge["judge"], judge["pairs"], judge["measures"], judge["prefers_first"]) == ("big", 12, False, 1.0)
    assert "100.0%" not in breakeven(fresh, "report").stdout
    status = breakeven(fresh, "road").stdout
    assert "the student's quality: not measured: the verdicts of big measure nothing" in status
    assert "the judge big says the same in both orders on 0% of 12 pairs (0% to 24%)" in status


def test_a_panel_judges_together(tmp_path: Path) -> None:
    with ScriptedUpstream("judges") as judges:
        prices = {"input": 1, "output": 2}
        common = {"base_url": judges.url, "paths": ["/chat/completions"], "usd_per_million": prices}
        models = [{"name": name, **common} for name in ("x", "y", "z")]
        changes = {"models": models, "road": {"judge": ["x", "y", "z"], "panel": "majority"}}
        with running(tmp_path, merged(CONFIG, changes)) as gateway:
            gateway.teacher.default(*answer(completion("Paris.")))
            # Two find the teacher's answer better, of which one is shown first; the third says A whatever is shown.
            teachers_first = (verdict("B", 2, 8), verdict("A", 8, 2)) * 2
            for steps in (*teachers_first, verdict("A", 9, 1), verdict("A", 9, 1)):
                judges.script(*steps)
            ask(gateway)
            (row,) = outcomes(gateway, 1)
            ((document,),) = gateway.rows("SELECT document FROM conversations")
            assert json.loads(document)["judges"] == {"x": "BA", "y": "BA", "z": "AA"}
            assert (row["student_score"], row["teacher_score"]) == (pytest.approx(0.2), pytest.approx(0.8))


def test_a_better_teacher_lowers_the_retention(fresh: Gateway) -> None:
    for _ in range(2):
        # In both orders the teacher's answer wins.
        for steps in (answer(completion("Paris.")), verdict("B", 2, 10), verdict("A", 10, 2)):
            fresh.teacher.script(*steps)
        ask(fresh)
    assert [row["student_score"] for row in outcomes(fresh, 2)] == [0.2, 0.2]
    ask(fresh, model="auto@0")
    assert fresh.metric("student_quality_retention") == pytest.approx(0.2)
    # Two of three requests were the student's: 1 - 2/3 * 0.8.
    assert fresh.metric("quality_retention") == pytest.approx(1 - 2 / 3 * 0.8)
    lower, upper = (fresh.metric(f"quality_retention_{side}") for side in ("lower", "upper"))
    assert lower < fresh.metric("quality_retention") < upper


def test_every_call_is_in_the_ledger_and_in_no_request_count(fresh: Gateway) -> None:
    fresh.teacher.default(*answer(completion("Paris.")))
    fresh.teacher.on("[answer A", *verdict("tie", 8, 8))
    ask(fresh)
    outcomes(fresh, 1)
    assert len(fresh.teacher.received) == 3
    rows = fresh.rows(
        "SELECT reason, route, pinned, sum(cost_input + cost_cached_input + cost_output), count(*), sum(a.last) "
        "FROM requests r JOIN attempts a ON a.request = r.id GROUP BY 1, 2, 3 ORDER BY 1"
    )
    assert rows == [("easy", "student", 0, 0, 1, 1), ("shadow", "teacher", 0, 3 * CALL, 3, 0)]
    assert fresh.rows("SELECT reason, requests, attempts, baseline FROM hourly ORDER BY 1") == [
        ("easy", 1, 1, CALL), ("shadow", 0, 3, 0),
    ]  # fmt: skip
    assert fresh.metric("requests_total") == 1
    assert fresh.metric("attempts_total", upstream="teacher", outcome="ok") == 3
    assert fresh.metric("cost_usd_total", upstream="teacher") == pytest.approx(3 * CALL / 1e12)
    assert fresh.metric("shadow_usd_total") == pytest.approx(3 * CALL / 1e12)
    assert fresh.metric("savings_upper_bound_usd") == pytest.approx((CALL - 3 * CALL) / 1e12)


def test_the_same_answer_needs_no_judge(fresh: Gateway) -> None:
    ask(fresh)
    (row,) = outcomes(fresh, 1)
    assert (row["student_score"], row["teacher_score"]) == (1.0, 1.0)
    assert len(fresh.teacher.received) == 1
    assert fresh.metric("comparisons_total", result="compared") == 1


def test_a_judge_without_structured_output_is_asked_in_plain(fresh: Gateway) -> None:
    fresh.teacher.default(*answer(completion("Paris.")))
    fresh.teacher.on('"response_format"', *error_answer(400, "response_format is not supported"))
    fresh.teacher.on("[answer A", *verdict("A", 9, 5))
    # The first marker that fits is taken: refused once, then asked without.
    ask(fresh)
    ask(fresh)
    outcomes(fresh, 2)
    formats = ["response_format" in request.json for request in fresh.teacher.received]
    assert formats.count(True) == 1


def test_savings_are_against_the_teachers_own_answers(fresh: Gateway) -> None:
    """The teacher writes 9 tokens where the student writes 3: 100 micro-dollars for its prompt, 180 for its answer."""
    fresh.teacher.default(*answer(completion("hello", {"prompt_tokens": 10, "completion_tokens": 9})))
    ask(fresh)
    outcomes(fresh, 1)
    assert not any(name.startswith(("breakeven_savings_usd", "breakeven_payback")) for name in fresh.metrics())
    assert (fresh.metric("compared_pairs"), fresh.metric("compared_pairs_needed")) == (1, 49)
    for count in range(2, 51):
        ask(fresh)
        outcomes(fresh, count)
    found = fresh.metrics()
    baseline, savings = ([found[f"breakeven_{of}_usd{end}"] for end in ENDS] for of in ("baseline", "savings"))
    assert (found["breakeven_output_token_ratio"], baseline) == (3.0, pytest.approx([50 * 280e-6] * 3))
    assert savings == pytest.approx([0] * 3, abs=1e-12)
    assert found["breakeven_compared_pairs_needed"] == 0
    assert "breakeven_savings_upper_bound_usd" not in found


def test_a_slow_teacher_slows_no_client(fresh: Gateway) -> None:
    fresh.teacher.default(Sleep(1.2), *answer(completion("hello")))
    started = time.monotonic()
    for _ in range(20):
        ask(fresh)
    assert time.monotonic() - started < 1.2, "a client waited for a comparison"


def test_a_full_queue_drops(tmp_path: Path) -> None:
    with running(tmp_path, {"road": {**CONFIG["road"], "max_queue": 1}}) as gateway:
        gateway.teacher.default(Sleep(0.5), *answer(completion("hello")))
        for _ in range(8):
            ask(gateway)
        assert gateway.metric("comparisons_total", result="dropped_queue") >= 4
        eventually(lambda: gateway.metric("comparisons_total") == 8, seconds=5)


def test_a_spent_budget_ends_it_also_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, {"road": {**CONFIG["road"], "monthly_budget_usd": 0.0003}}) as gateway:
        for count in (1, 2, 2, 2):  # 160 micro-dollars each; the second one passes the budget
            ask(gateway)
            eventually(lambda: gateway.metric("comparisons_total") >= 1)
            outcomes(gateway, count)
        eventually(lambda: gateway.metric("comparisons_total", result="dropped_budget") == 2)
        gateway.stop()
        gateway.start()
        ask(gateway)
        eventually(lambda: gateway.metric("comparisons_total", result="dropped_budget") == 1)
        assert len(gateway.teacher.received) == 2


def test_a_teacher_that_fails_is_counted_and_nothing_else(fresh: Gateway) -> None:
    fresh.teacher.script(*error_answer(500))
    ask(fresh)
    eventually(lambda: fresh.metric("comparisons_total", result="failed") == 1)
    assert fresh.metric("circuit_open", upstream="teacher") == 0
    assert fresh.rows("SELECT outcome FROM requests WHERE reason = 'shadow'") == [("upstream_error",)]
    ask(fresh)
    outcomes(fresh, 1)


def test_a_teacher_that_streams_unasked_is_compared_and_paid(fresh: Gateway) -> None:
    whole = delta("hel") + delta("lo") + delta("", finish="stop") + usage_chunk() + DONE
    fresh.teacher.script(Head(200, {"content-type": "text/event-stream"}), Send(whole), End())
    ask(fresh)
    outcomes(fresh, 1)
    # The same as the student's, so that no judge was asked.
    rows = fresh.rows("SELECT output_tokens, usage_missing FROM attempts WHERE upstream = 'teacher'")
    assert rows == [(3, 0)]


def test_shutting_down_waits_for_no_comparison(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as gateway:
        gateway.teacher.default(Head(200, {"content-type": "application/json"}), Send(b"{"), ExpectDisconnect(8))
        ask(gateway)
        gateway.teacher.wait_for(1)
        started = time.monotonic()
        gateway.stop()
        assert time.monotonic() - started < 4
        assert gateway.process is not None
        assert gateway.process.returncode == 0
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            found = connection.execute("SELECT outcome FROM requests WHERE reason = 'shadow'").fetchall()
        assert found == [("gateway_error",)]


def test_neither_answer_nor_prompt_reaches_a_log(fresh: Gateway) -> None:
    canary = "canary-31c7 what is the capital"
    fresh.student.default(*answer(completion("canary-answer-s")))
    fresh.teacher.default(*answer(completion("canary-answer-t")))
    fresh.teacher.on("[answer A", *verdict("A", 9, 5))
    ask(fresh, canary)
    outcomes(fresh, 1)
    seen = fresh.log.read_text() + fresh.get("/metrics").body.decode()
    assert "canary" not in seen


def test_prompts_are_kept_only_where_wanted(tmp_path: Path) -> None:
    for wanted in (True, False):
        folder = tmp_path / str(wanted)
        folder.mkdir()
        with running(folder, {"ledger": {"store_prompts": wanted}}) as gateway:
            ask(gateway, "keep-me-4417")
            gateway.stop()
            with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as connection:
                kept = connection.execute("SELECT text FROM prompts").fetchall()
            assert kept == ([("keep-me-4417",)] if wanted else [])
            files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
            assert any(b"keep-me-4417" in data for data in files) == wanted


def feedback(gateway: Gateway, body: object, headers: dict[str, str] | None = None) -> Response:
    return gateway.post(body, headers, path="/v1/feedback")


def test_feedback_enters_the_users_verdict_and_a_later_one_replaces_it(gateway: Gateway) -> None:
    response = gateway.post(chat("how?", model="teacher"))
    for score in (0.25, 1):
        given = feedback(gateway, {"request_id": response.headers["x-request-id"], "score": score})
        assert (given.status, given.json["route"], given.json["score"]) == (200, "teacher", score)
    found = gateway.rows("SELECT student_score, teacher_score FROM outcomes WHERE source = 'feedback'")
    assert found == [(None, 1.0)]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"request_id": "nobody-knows-this", "score": 1.0}, 404, "request_id"),
        ({"request_id": "x", "score": 1.5}, 400, "score"),
        ({"request_id": "x", "score": "good"}, 400, "score"),
        ({"request_id": "x"}, 400, "score"),
        ({"request_id": "x", "score": 1.0, "comment": "?"}, 400, "comment"),
        ([], 400, None),
        (b"{", 400, None),
    ],
)
def test_feedback_that_means_nothing_is_refused(gateway: Gateway, body: object, status: int, param: str | None) -> None:
    response = feedback(gateway, body)
    assert (response.status, response.json["error"]["param"]) == (status, param)


def test_an_unknown_scorer_is_refused_at_start(tmp_path: Path) -> None:
    changes = {"road": {"sample": 0.1, "scorer": "nowhere_at_all:score"}}
    why = pytest.raises(AssertionError, match=r"road\.scorer: .*cannot import nowhere_at_all")
    with why, running(tmp_path, changes):
        pass


def test_comparing_can_be_turned_on_and_off_by_a_reload(tmp_path: Path) -> None:
    with running(tmp_path, {"road": {"sample": 0.0}}) as gateway:
        ask(gateway)
        gateway.write_config({"road": {"sample": 1.0}})
        eventually(lambda: "was reloaded" in gateway.log.read_text())
        ask(gateway)
        outcomes(gateway, 1)
        gateway.write_config({"road": {"sample": 0.0}})
        eventually(lambda: gateway.log.read_text().count("was reloaded") == 2)
        ask(gateway)
        assert len(gateway.teacher.received) == 1
