"""Stage observe: the client gets the teacher's answer, and the student is measured beside it, at no client's cost."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.compared import CHAT, USER, rows
from tests.contract.gateway import Gateway, chat, merged, running
from tests.contract.scripted import DONE, ScriptedUpstream, Sleep, answer, completion, delta, error_answer
from tests.contract.scripted import stream as streamed
from tests.contract.test_escalation import TEACHER, UNSURE

OBSERVE: dict[str, Any] = {
    "routing": {"threshold": None},
    "road": {"sample": 0.02, "scorer": "exact"},
    "ledger": {"store_prompts": True},
}
# The scripted usage: 10 prompt tokens at 10 USD and 3 output tokens at 20 USD a million.
CALL = 160e-6


def ask(gateway: Gateway, text: str = "What is it?", headers: dict[str, str] | None = None, **fields: Any) -> str:
    """The reason of one request."""
    response = gateway.post(chat(text, **fields), headers)
    assert response.status == 200, response.body
    return str(response.headers["x-breakeven-reason"])


def results(gateway: Gateway, direction: str = "teacher_answered") -> dict[str, float]:
    """The counts of comparisons by result that are not 0."""
    found = {}
    for name, value in gateway.metrics().items():
        if name.startswith("breakeven_comparisons_total{") and f'direction="{direction}"' in name and value:
            found[name.split('result="')[1].split('"')[0]] = value
    return found


def sure(*logprobs: float, text: str = "hello") -> dict[str, Any]:
    """A whole answer of the student with these log-probabilities."""
    value = completion(text)
    value["choices"][0]["logprobs"] = {"content": [{"token": "t", "logprob": one} for one in logprobs]}
    return value


def test_the_students_confidence_is_read_as_escalation_would(tmp_path: Path) -> None:
    with running(tmp_path, merged(OBSERVE, {"routing": {"escalation": {"probe_tokens": 3}}})) as gateway:
        gateway.student.default(*answer(sure(-0.5, -1.0, -1.5, -9.0)))
        assert ask(gateway, logprobs=False) == "observe"
        assert rows(gateway, 1)[0]["logprob"] == pytest.approx(-1.0)
        assert gateway.student.last.json["logprobs"] is True
        assert gateway.teacher.last.json["logprobs"] is False, "the client's request is its own"
        gateway.post({"prompt": "Once", "model": "auto"}, path="/v1/completions")
        rows(gateway, 2)
        assert gateway.student.last.json["logprobs"] == 1


def test_a_student_that_refuses_log_probabilities_is_asked_without_from_then_on(tmp_path: Path) -> None:
    with running(tmp_path, OBSERVE) as gateway:
        gateway.student.on('"logprobs"', *error_answer(400, "logprobs are not supported"))
        for count in (1, 2):
            ask(gateway)
            assert rows(gateway, count)[-1]["logprob"] is None
        assert ["logprobs" in request.json for request in gateway.student.received] == [True, False, False]
        assert results(gateway) == {"compared": 2}


def test_comparisons_by_a_checker_cost_nothing_and_give_savings(tmp_path: Path) -> None:
    with running(tmp_path, merged(OBSERVE, {"road": {"monthly_budget_usd": 0}})) as gateway:
        for _ in range(50):
            ask(gateway)
            time.sleep(0.005)
        rows(gateway, 50)
        found = gateway.metrics()
        assert found["breakeven_shadow_usd_total"] == 0
        assert gateway.metric("cost_usd_total", upstream="teacher") == pytest.approx(50 * CALL)
        assert (found["breakeven_baseline_usd"], found["breakeven_savings_usd"]) == (pytest.approx(50 * CALL), 0)
        assert "breakeven_quality_retention" not in found, "the student has answered nobody"
        assert "breakeven_student_usd_per_million_tokens" not in found
        assert gateway.rows("SELECT DISTINCT reason, route FROM requests ORDER BY 1") == [
            ("observe", "teacher"), ("shadow", "student"),
        ]  # fmt: skip
        assert gateway.metric("requests_total") == 50
        pair = rows(gateway, 50)[0]
        assert pair["student_input_value"] == pair["teacher_input_cost"] == 100_000_000


def test_what_costs_money_ends_with_the_budget(tmp_path: Path) -> None:
    with running(tmp_path, merged(OBSERVE, {"road": {"scorer": "judge", "monthly_budget_usd": 0.0003}})) as gateway:
        verdict = json.dumps({"reason": "r", "score_a": 5, "score_b": 5, "winner": "tie"})
        gateway.teacher.on("[answer A", *answer(completion(verdict)))
        gateway.student.default(*answer(completion("other")))
        ask(gateway)
        rows(gateway, 1)
        ask(gateway)
        eventually(lambda: results(gateway).get("dropped_budget") == 1)
        assert gateway.metric("shadow_usd_total") == pytest.approx(2 * CALL)


def test_a_student_that_is_down_pauses_it_and_no_client_sees_it(tmp_path: Path) -> None:
    breaker = {"consecutive_failures": 2, "pause_seconds": 0.5, "failure_rate": 1.0, "window_requests": 1000}
    with running(tmp_path, merged(OBSERVE, {"student": {"breaker": breaker}})) as gateway:
        gateway.student.default(*error_answer(503))
        for count in (1, 2):
            ask(gateway)
            eventually(lambda count=count: results(gateway).get("failed") == count)
        assert gateway.metric("circuit_open", upstream="student") == 1
        assert ask(gateway) == "observe"
        assert len(gateway.student.received) == 2
        gateway.student.default(*answer(completion()))
        # After the pause the first comparison closes the circuit again; more may follow.
        eventually(lambda: ask(gateway) == "observe" and results(gateway).get("compared"))
        assert gateway.metric("circuit_open", upstream="student") == 0


def test_a_slow_student_slows_no_client_and_is_left_to_clients_from_half_of_its_limit(tmp_path: Path) -> None:
    changes = {"student": {"max_concurrency": 2}, "road": {"concurrency": 8, "max_queue": 20}}
    with running(tmp_path, merged(OBSERVE, changes)) as gateway:
        gateway.student.default(Sleep(1.0), *answer(completion()))
        started = time.monotonic()
        for _ in range(10):
            ask(gateway)
        assert time.monotonic() - started < 1.0, "a client waited for the student"
        eventually(lambda: results(gateway) == {"compared": 1, "dropped_busy": 9})
        assert len(gateway.student.received) == 1


def test_a_key_that_opted_out_leaves_no_text_and_is_not_compared(tmp_path: Path) -> None:
    keys = [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "store": name == "open"}
        for name in ("open", "closed")
    ]
    with running(tmp_path, merged(OBSERVE, {"auth": {"keys": keys}})) as gateway:
        for name in ("closed", "open"):
            ask(gateway, f"text of {name}", {"authorization": f"Bearer {name}"})
        assert [row["key"] for row in rows(gateway, 1)] == ["open"]
        assert len(gateway.student.received) == 1
        gateway.stop()
        assert gateway.rows("SELECT text FROM prompts") == [("text of open",)]


def test_of_a_request_without_a_score_the_text_is_stored_too(tmp_path: Path) -> None:
    with running(tmp_path, OBSERVE) as gateway:
        ask(gateway, "keep this")
        (row,) = rows(gateway, 1)
        gateway.stop()
        assert gateway.rows("SELECT request, text FROM prompts") == [(row["request"], "keep this")]


def test_a_comparison_names_the_versions_of_both_models(tmp_path: Path) -> None:
    versions = {"student": {"revision": "2026-11"}, "teacher": {"revision": "r2"}}
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        listed = {"object": "list", "data": [{"id": "small", "root": "org/small-v7"}]}
        student.models(*answer(listed))
        gateway = Gateway(tmp_path, student, teacher, merged(OBSERVE, versions))
        try:
            gateway.start()
            ask(gateway)
            (row,) = rows(gateway, 1)
        finally:
            gateway.stop()
        assert (row["student_version"], row["teacher_version"]) == ("small@2026-11 (org/small-v7)", "big@r2")


def test_a_model_of_its_own_may_judge(tmp_path: Path) -> None:
    with ScriptedUpstream("umpire") as umpire:
        prices = {"input": 1, "output": 2}
        model = {"name": "umpire", "base_url": umpire.url, "paths": ["/chat/completions"], "usd_per_million": prices}
        changes = {"models": [model], "road": {"scorer": "judge", "judge": "umpire"}}
        with running(tmp_path, merged(OBSERVE, changes)) as gateway:
            verdict = json.dumps({"reason": "r", "score_a": 5, "score_b": 5, "winner": "tie"})
            umpire.default(*answer(completion(verdict)))
            gateway.student.default(*answer(completion("other")))
            ask(gateway)
            assert rows(gateway, 1)[0]["student_score"] == 0.5
            assert (len(umpire.received), len(gateway.teacher.received)) == (2, 1)
            # 10 prompt tokens at 1 USD and 3 output tokens at 2 USD a million, twice.
            assert gateway.metric("shadow_usd_total") == pytest.approx(2 * 16e-6)
            umpire.default(*answer(completion("no idea")))
            ask(gateway)
            eventually(lambda: results(gateway).get("unreadable") == 1)
            umpire.default(*error_answer(500))
            ask(gateway)
            eventually(lambda: results(gateway).get("failed") == 1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_discarded_answer_is_compared_as_one_that_the_teacher_answered(tmp_path: Path, stream: bool) -> None:
    rule = {"probe_tokens": 3, "min_mean_logprob": -1.0}
    changes = {"routing": {"escalation": rule}, "road": {"sample": 1.0, "scorer": "exact"}}
    with running(tmp_path, changes) as gateway:
        if stream:
            gateway.student.script(*streamed(*UNSURE))
            gateway.student.default(*answer(sure(-0.1, text="A better answer")))
            gateway.teacher.default(*streamed(*TEACHER))
        else:
            gateway.student.default(*answer(sure(-3.0, -3.0, -3.0, -0.1, text="A better answer")))
            gateway.teacher.default(*answer(completion("A better answer")))
        assert ask(gateway, stream=stream) == "escalated"
        (row,) = rows(gateway, 1)
        assert (row["direction"], row["logprob"], row["student_score"]) == ("teacher_answered", -3.0, 1.0)
        # What was discarded whole need not be asked for again.
        assert len(gateway.student.received) == (2 if stream else 1)


def test_every_comparison_has_the_weight_of_its_probability(tmp_path: Path) -> None:
    """At road.sample 0.05 half of the teacher's answers: the hardest up to four times as often as the others."""
    with running(tmp_path, {"road": {"sample": 0.05, "scorer": "exact", "max_queue": 1000}}) as gateway:
        for number in range(60):
            ask(gateway, f"Hello {number}", model="auto@0")
        found = eventually(lambda: r if len(r := rows(gateway, 8)) == sum(results(gateway).values()) else None)
        share = (0.5 - 0.24) / 0.76
        assert {round(row["weight"], 9) for row in found} == {round(1 / share, 9)}
        assert {row["direction"] for row in found} == {"teacher_answered"}
        # Binomial with 60 and 0.342: outside of this once in ten thousand runs.
        assert 7 <= len(found) <= 36


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        (CHAT.path, {"messages": USER, "model": "teacher"}, "pinned"),
        (CHAT.path, {"messages": USER, "n": 2}, "several answers"),
        (CHAT.path, {"messages": [{"role": "user", "content": ""}]}, "no text"),
        ("/v1/responses", {"input": "hi", "previous_response_id": "resp_7"}, "state of one upstream"),
        ("/v1/responses", {"input": "hi", "tools": [{"type": "web_search"}]}, "the student cannot"),
        ("/v1/embeddings", {"input": "hi", "model": "teacher"}, "not routed"),
    ],
)
def test_what_cannot_be_compared_is_not(tmp_path: Path, path: str, body: dict[str, Any], why: str) -> None:
    with running(tmp_path, OBSERVE) as gateway:
        assert gateway.post({"model": "auto", **body}, path=path).status == 200
        ask(gateway)
        rows(gateway, 1)
        assert len(gateway.student.received) == 1, why


def test_an_answer_that_the_client_did_not_wait_for_is_not_compared(tmp_path: Path) -> None:
    with running(tmp_path, OBSERVE) as gateway:
        gateway.teacher.script(*streamed(*[delta("x")] * 40, pause=0.1))
        with gateway.connect() as client:
            client.request("POST", CHAT.path, json.dumps(chat(stream=True)).encode())
            client.head()
            client.reset()
        eventually(lambda: any(record["outcome"] == "client_cancelled" for record in gateway.settled()))
        ask(gateway)
        rows(gateway, 1)
        assert len(gateway.student.received) == 1


def test_an_answer_that_is_too_long_to_be_kept_is_counted_and_reaches_the_client_whole(tmp_path: Path) -> None:
    with running(tmp_path, OBSERVE) as gateway:
        gateway.teacher.script(*streamed(*[delta("x" * 60_000)] * 10, delta("", finish="stop"), DONE))
        response = gateway.post(chat(stream=True))
        assert response.body.count(b"x" * 60_000) == 10
        eventually(lambda: results(gateway) == {"unreadable": 1})
        assert not gateway.student.received
