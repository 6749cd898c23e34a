"""The cascade: the start of the student's answer is judged before the client sees a byte of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import (
    DONE,
    ExpectDisconnect,
    Head,
    ScriptedUpstream,
    Send,
    Sleep,
    answer,
    delta,
    error_answer,
    stream,
    usage_chunk,
)

RULE = {"probe_tokens": 3, "min_mean_logprob": -1.0, "max_hold_seconds": 0.4}
CONFIG = {"routing": {"escalation": RULE, "novelty_threshold": 1.0, "threshold": 1.0, "sticky": False}}
SSE = {"content-type": "text/event-stream"}


def chunk(text: str, logprobs: Sequence[float] | None, finish: str | None = None) -> bytes:
    """One chunk as vLLM writes it."""
    content = (
        None if logprobs is None else {"content": [{"token": "t", "logprob": p, "bytes": [116]} for p in logprobs]}
    )
    choice = {"index": 0, "delta": {"content": text}, "logprobs": content, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "object": "x", "choices": [choice]}).encode() + b"\n\n"


SURE = [chunk(text, [-0.1]) for text in ("The ", "sky ", "is ", "blue")] + [chunk("", None, "stop")]
UNSURE = [chunk(text, [-3.0]) for text in ("Per", "haps ", "it ", "is")]
TEACHER = [delta("A better "), delta("answer"), delta("", finish="stop"), usage_chunk(), DONE]


def texts(body: bytes) -> str:
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    return "".join(c["delta"].get("content") or "" for e in events for c in e.get("choices", []))


def sent(upstream: ScriptedUpstream) -> dict[str, Any]:
    """The last body that an upstream got."""
    return dict(upstream.last.json)


def test_an_event_that_only_had_log_probabilities_is_not_for_the_client(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    """vLLM sends an event for a special token only where log-probabilities were asked for."""
    special = chunk("", [-0.2]).replace(b'{"content": ""}', b"{}")
    student.script(*stream(SURE[0], special, *SURE[1:], usage_chunk(), DONE))
    response = gateway.post(chat(stream=True))
    assert texts(response.body) == "The sky is blue"
    assert len(response.events) == len(SURE) + 1  # and [DONE]
    student.script(*stream(SURE[0], special, *SURE[1:], usage_chunk(), DONE))
    assert len(gateway.post(chat(stream=True, logprobs=True)).events) == len(SURE) + 2


def test_a_sure_student_answers_and_nothing_tells_of_the_probe(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*stream(*SURE, usage_chunk(), DONE))
    response = gateway.post(chat(stream=True))
    assert texts(response.body) == "The sky is blue"
    assert b'"logprob"' not in response.body
    assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == ("student", "easy")
    assert sent(student)["logprobs"] is True
    assert response.body.endswith(DONE)
    record = gateway.record(response)
    assert record["outcome"] == "ok"
    assert record["probe_seconds"] >= 0


def test_an_unsure_student_is_cancelled_and_the_teacher_answers(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    student.script(Head(200, SSE), *(Send(event) for event in UNSURE), ExpectDisconnect())
    teacher.script(*stream(*TEACHER))
    response = gateway.post(chat(stream=True, stream_options={"include_usage": True}))
    # Byte for byte what a stream of the teacher is.
    assert response.body == b"".join(TEACHER)
    assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == ("teacher", "escalated")
    assert response.headers["x-breakeven-attempts"] == "2"
    assert "logprobs" not in sent(teacher)
    record = gateway.record(response)
    assert [attempt["upstream"] for attempt in record["attempts"]] == ["student", "teacher"]
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["truncated", "ok"]
    assert record["attempts"][1]["usage"]["complete"]


def test_a_whole_answer_is_judged_by_its_first_tokens_too(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    def judged(logprobs: list[float]) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "x"},
            "logprobs": {"content": [{"token": "t", "logprob": p} for p in logprobs]},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
        return {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}

    # No more of them than of a stream: one limit means the same for both.
    student.script(*answer(judged([-0.1] * 3 + [-9.0] * 9)))
    kept = gateway.post(chat())
    assert kept.headers["x-breakeven-route"] == "student"
    assert json.loads(kept.body)["choices"][0]["logprobs"] is None
    assert int(kept.headers["content-length"]) == len(kept.body)

    student.script(*answer(judged([-4.0] * 3 + [-0.1] * 9)))
    response = gateway.post(chat())
    assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == ("teacher", "escalated")
    assert gateway.record(response)["attempts"][0]["usage"]["output"] == 4


def test_a_client_that_asks_for_logprobs_gets_them(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*stream(*SURE, usage_chunk(), DONE))
    response = gateway.post(chat(stream=True, logprobs=True, top_logprobs=2))
    assert response.body == b"".join([*SURE, DONE])
    assert sent(student)["top_logprobs"] == 2


def test_short_answers_are_judged_at_their_end(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    student.script(*stream(chunk("Hm", [-5.0]), chunk("", None, "stop"), usage_chunk(), DONE))
    teacher.script(*stream(*TEACHER))
    assert gateway.post(chat(stream=True)).headers["x-breakeven-reason"] == "escalated"
    student.script(*stream(chunk("Yes", [-0.2]), chunk("", None, "stop"), usage_chunk(), DONE))
    assert texts(gateway.post(chat(stream=True)).body) == "Yes"


def test_a_student_without_logprobs_is_not_held_back_for_good(gateway: Gateway, student: ScriptedUpstream) -> None:
    words = [delta(f"{n} ") for n in range(20)]
    student.script(*stream(*words, delta("", finish="stop"), usage_chunk(), DONE))
    response = gateway.post(chat(stream=True))
    assert response.headers["x-breakeven-route"] == "student"
    assert texts(response.body) == "".join(f"{n} " for n in range(20))


def test_the_hold_is_bounded_in_time(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(
        Head(200, SSE), Send(SURE[0]), Sleep(0.5), Send(SURE[1]), Sleep(0.5), *(Send(e) for e in (*SURE[2:], DONE))
    )
    response = gateway.post(chat(stream=True))
    assert texts(response.body) == "The sky is blue"
    assert gateway.record(response)["probe_seconds"] < 0.9


def test_where_the_teacher_fails_the_student_answers_after_all(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    student.script(Head(200, SSE), *(Send(event) for event in UNSURE), ExpectDisconnect())
    student.script(*stream(*UNSURE, chunk("", None, "stop"), usage_chunk(), DONE))
    teacher.script(*error_answer(503))
    response = gateway.post(chat(stream=True))
    assert texts(response.body) == "Perhaps it is"
    assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == ("student", "fallback")
    assert response.headers["x-breakeven-attempts"] == "3"


@pytest.mark.parametrize("body", [{"model": "student"}, {"n": 2}])
def test_pinned_requests_and_several_choices_are_not_judged(
    gateway: Gateway, student: ScriptedUpstream, body: dict[str, Any]
) -> None:
    student.script(*stream(*UNSURE, chunk("", None, "stop"), usage_chunk(), DONE))
    gateway.post(chat(stream=True, **body))
    assert "logprobs" not in sent(student)
