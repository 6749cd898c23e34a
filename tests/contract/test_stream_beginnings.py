"""What comes before the answer is held back: until it comes, another upstream can answer and a failure has a status."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.client import Response
from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import (
    DONE,
    Close,
    End,
    ExpectDisconnect,
    Head,
    Reset,
    ScriptedUpstream,
    Send,
    Sleep,
    Step,
    answer,
    delta,
    event,
    stream,
    usage_chunk,
)

SSE = {"content-type": "text/event-stream"}
CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
FINISH = delta("", finish="stop")


def chunk(**choice: Any) -> bytes:
    """A chunk with one choice."""
    return event({"id": "c1", "object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]})


def typed(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\n".encode() + event({"type": kind, **fields})


def response_event(kind: str, **fields: Any) -> bytes:
    return typed(f"response.{kind}", response={"id": "resp_x", "object": "response", "output": [], **fields})


PING = b": ping\n\n"
ROLE = chunk(delta={"role": "assistant", "content": ""}, finish_reason=None)
AZURE = event({"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]})
CHAT_BEGINNINGS = {
    "comment": PING,
    "role": ROLE,
    "role, everything else null": chunk(
        delta={"role": "assistant", "content": None, "refusal": None, "tool_calls": None, "function_call": None},
        logprobs=None, finish_reason=None,
    ),
    "role, empty log-probabilities": chunk(
        delta={"role": "assistant", "content": ""}, logprobs={"content": [], "refusal": None}, finish_reason=""
    ),
    "role, content filter": chunk(
        delta={"role": "assistant", "content": ""}, finish_reason=None,
        content_filter_results={"hate": {"filtered": False, "severity": "safe"}},
    ),
    "content filter": AZURE,
    "no choices": event({"id": "c1", "object": "chat.completion.chunk", "choices": None}),
    "ping": b'event: ping\ndata: {"type": "ping"}\n\n',
    "retry": b"retry: 100\n\n",
    "empty data": b"data:\n\n",
    "all": PING + AZURE + ROLE + PING,
}  # fmt: skip
CREATED = response_event("created", status="in_progress")
ITEM = typed("response.output_item.added", output_index=0, item={"id": "i", "type": "message", "status": "in_progress",
                                                                 "role": "assistant", "content": []})  # fmt: skip
PART = typed("response.content_part.added", part={"type": "output_text", "text": "", "annotations": []})
RESPONSE_BEGINNINGS = {
    "created": CREATED,
    "in progress": CREATED + response_event("in_progress", status="in_progress"),
    "queued": response_event("queued", status="queued"),
    "item": CREATED + ITEM + PART,
    "ping": CREATED + PING + b'event: keepalive\ndata: {"type":"keepalive","sequence_number":3}\n\n',
}
TEXT_ROLE = event(
    {"id": "t", "object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": None}]}
)
BEGINNINGS_OF = {
    CHAT: CHAT_BEGINNINGS,
    COMPLETIONS: {"comment": PING, "text": TEXT_ROLE, "content filter": AZURE},
    RESPONSES: RESPONSE_BEGINNINGS,
}
BEGINNINGS = [
    pytest.param(path, data, id=f"{path.rpartition('/')[2]}: {name}")
    for path, beginnings in BEGINNINGS_OF.items()
    for name, data in beginnings.items()
]
COMPLETED = response_event(
    "completed", status="completed", usage={"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
)
WHOLE = {
    CHAT: delta("he") + delta("llo") + FINISH + usage_chunk() + DONE,
    COMPLETIONS: event({"choices": [{"index": 0, "text": "hello", "finish_reason": "stop"}]}) + usage_chunk() + DONE,
    RESPONSES: typed("response.output_text.delta", delta="hello") + COMPLETED,
}


def ask(gateway: Gateway, path: str, model: str = "auto") -> Response:
    asked = {CHAT: {"messages": [{"role": "user", "content": "hi"}]}, COMPLETIONS: {"prompt": "hi"}}
    return gateway.post({"model": model, "stream": True, **asked.get(path, {"input": "hi"})}, path=path)


def fell_back(gateway: Gateway, response: Response, path: str) -> None:
    assert response.status == 200
    assert response.headers["x-breakeven-route"] == "teacher"
    assert response.headers["x-breakeven-reason"] == "fallback"
    assert response.body == WHOLE[path].replace(usage_chunk(), b"")
    attempts = gateway.record(response)["attempts"]
    assert [(a["upstream"], a["outcome"]) for a in attempts] == [("student", "upstream_error"), ("teacher", "ok")]


FAILURES: dict[str, list[Step]] = {
    "error": [Send(event({"error": {"message": "died", "type": "x", "param": None, "code": 503}})), End()],
    "error by its name": [Send(b'event: error\ndata: {"message": "died", "code": 503}\n\n'), End()],
    "end": [End()],
    "reset": [Reset()],
    "close": [Close()],
    "stall": [ExpectDisconnect(4)],
}


def failing() -> Iterator[Any]:
    """Every beginning with every failure that fits; a stall, which takes its time, only with one of each endpoint."""
    for path, beginnings in BEGINNINGS_OF.items():
        for name, beginning in beginnings.items():
            for failure in FAILURES:
                slow = failure == "stall" and name not in ("role", "text", "created")
                # The events of responses have types.
                if not slow and not (path == RESPONSES and failure == "error by its name"):
                    yield pytest.param(path, beginning, failure, id=f"{path.rpartition('/')[2]}: {name}, {failure}")


@pytest.mark.parametrize(("path", "beginning", "failure"), list(failing()))
def test_a_failure_before_the_answer_falls_back(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream, path: str, beginning: bytes, failure: str
) -> None:
    student.script(Head(200, SSE), Send(beginning), Sleep(0.05), *FAILURES[failure])
    teacher.script(*stream(WHOLE[path]))
    fell_back(gateway, ask(gateway, path), path)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES])
def test_without_fallback_a_failure_before_the_answer_is_a_status(
    gateway: Gateway, student: ScriptedUpstream, path: str, failure: str
) -> None:
    beginning = {CHAT: ROLE, COMPLETIONS: TEXT_ROLE}.get(path, CREATED)
    error = typed("error", code="503", message="died", param=None)
    steps = [Send(error), End()] if path == RESPONSES and "error" in failure else FAILURES[failure]
    student.script(Head(200, SSE), Send(beginning), Sleep(0.05), *steps)
    response = ask(gateway, path, "student")
    assert response.status == {"error": 503, "error by its name": 503, "stall": 504}.get(failure, 502)
    if "error" in failure:
        assert response.error["message"] == "died"
    assert gateway.record(response)["outcome"] == "upstream_error"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": "rate_limit_exceeded"}, 429),
        ({"type": "rate_limit_error", "code": None}, 429),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, 429),
        ({"type": "overloaded_error"}, 529),
        ({"code": "context_length_exceeded"}, 400),
        ({"type": "invalid_request_error", "code": None}, 400),
        ({"type": "invalid_request_error", "code": "rate_limit_exceeded"}, 429),
        ({"type": "not_found_error"}, 404),
        ({"code": 429}, 429),
        ({"code": "server_error"}, 502),
    ],
)
def test_an_error_that_came_with_success_has_the_status_of_its_words(
    gateway: Gateway, student: ScriptedUpstream, path: str, error: dict[str, Any], status: int, streamed: bool
) -> None:
    error = {"message": "no", **error}
    if streamed and path == RESPONSES:
        steps = stream(CREATED, response_event("failed", status="failed", error=error, usage=None))
    else:
        steps = stream(PING, event({"error": error})) if streamed else answer({"error": error})
    asked = {CHAT: {"messages": [{"role": "user", "content": "hi"}]}, COMPLETIONS: {"prompt": "hi"}}
    student.script(*steps)
    body = {"model": "student", "stream": streamed, **asked.get(path, {"input": "hi"})}
    response = gateway.post(body, path=path)
    assert response.status == status
    assert response.error["message"] == "no"


def test_a_response_that_failed_before_its_answer_is_a_status_and_paid_for(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    usage = {"input_tokens": 12, "output_tokens": 0, "total_tokens": 12}
    error = {"code": "server_error", "message": "died"}
    student.script(*stream(CREATED, response_event("failed", status="failed", error=error, usage=usage)))
    response = ask(gateway, RESPONSES, "student")
    assert (response.status, response.error["message"], response.error["code"]) == (502, "died", "server_error")
    assert gateway.record(response)["attempts"][0]["usage"]["prompt"] == 12


@pytest.mark.parametrize(("path", "beginning"), BEGINNINGS)
@pytest.mark.parametrize("apart", [False, True])
def test_what_was_held_back_is_sent_with_the_answer_byte_for_byte(
    gateway: Gateway, student: ScriptedUpstream, path: str, beginning: bytes, apart: bool
) -> None:
    data = beginning + WHOLE[path]
    student.script(*stream(*([beginning, WHOLE[path]] if apart else [data]), pause=0.05))
    response = ask(gateway, path)
    assert response.headers["x-breakeven-route"] == "student"
    assert response.body == data.replace(usage_chunk(), b"")
    record = gateway.record(response)
    assert record["outcome"] == "ok"
    assert record["attempts"][0]["usage"]["output"] == 3


CONTENT = {
    "text": delta("a"),
    "role and text": chunk(delta={"role": "assistant", "content": "a"}),
    "white space": delta(" "),
    "reasoning": chunk(delta={"reasoning_content": "hm"}),
    "reasoning, by its other name": chunk(delta={"content": "", "reasoning": "hm"}),
    "tool call": chunk(delta={"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": ""}}]}),
    "function call": chunk(delta={"content": None, "function_call": {"name": "f", "arguments": ""}}),
    "refusal": chunk(delta={"refusal": "no"}),
    "audio": chunk(delta={"audio": {"id": "a"}}),
    "unknown field": chunk(delta={"content": "", "new": {"x": [0]}}),
    "log-probability": chunk(delta={}, logprobs={"content": [{"token": "a", "logprob": -0.1}]}),
    "second choice": event({"choices": [{"index": 0, "delta": {"role": "assistant"}}, {"delta": {"content": "b"}}]}),
    "finish": delta("", finish="length"),
}


@pytest.mark.parametrize("name", CONTENT)
def test_the_first_content_is_sent_at_once_with_what_came_before(
    gateway: Gateway, student: ScriptedUpstream, name: str
) -> None:
    student.script(Head(200, SSE), Send(ROLE), Sleep(0.05), Send(CONTENT[name]), Sleep(0.6), Send(FINISH + DONE), End())
    with gateway.connect() as client:
        started = time.monotonic()
        client.request("POST", CHAT, json.dumps(chat(stream=True)).encode())
        status, headers = client.head()
        first = next(client.segments(headers))
        seconds = time.monotonic() - started
    assert status == 200
    assert first == ROLE + CONTENT[name]
    assert seconds < 0.5


def test_content_is_not_sought_in_what_follows_the_first(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(Head(200, SSE), Send(delta("a")), Sleep(0.05), Send(ROLE), Sleep(0.6), Send(FINISH + DONE), End())
    with gateway.connect() as client:
        started = time.monotonic()
        client.request("POST", CHAT, json.dumps(chat(stream=True)).encode())
        _, headers = client.head()
        segments = client.segments(headers)
        assert next(segments) + next(segments) == delta("a") + ROLE
        assert time.monotonic() - started < 0.5


def test_after_the_first_event_timeout_signs_of_life_are_passed_on(gateway: Gateway, student: ScriptedUpstream) -> None:
    pings: list[Step] = [step for _ in range(8) for step in (Send(PING), Sleep(0.3))]
    student.script(Head(200, SSE), Send(ROLE), *pings, Send(delta("late") + FINISH + DONE), End())
    with gateway.connect() as client:
        started = time.monotonic()
        client.request("POST", CHAT, json.dumps(chat(stream=True)).encode())
        _, headers = client.head()
        segments = client.segments(headers)
        first = next(segments)
        seconds = time.monotonic() - started
        body = first + b"".join(segments)
    assert first.startswith(ROLE + PING)
    assert b"late" not in first
    assert 1.4 < seconds < 2.3
    assert body == ROLE + 8 * PING + delta("late") + FINISH + DONE


def test_more_than_64_kib_before_the_answer_are_passed_on(gateway: Gateway, student: ScriptedUpstream) -> None:
    comment = b": " + b"x" * 1000 + b"\n\n"
    student.script(*stream(ROLE, comment * 70, delta("a") + FINISH + DONE, pause=0.3))
    with gateway.connect() as client:
        client.request("POST", CHAT, json.dumps(chat(stream=True)).encode())
        _, headers = client.head()
        segments = list(client.segments(headers))
    assert delta("a") not in segments[0]
    assert b"".join(segments) == ROLE + comment * 70 + delta("a") + FINISH + DONE


@pytest.mark.parametrize("reason", ["", None, "null"])
def test_an_empty_finish_reason_finishes_nothing(
    gateway: Gateway, student: ScriptedUpstream, reason: str | None
) -> None:
    begun = [chunk(delta={"content": text}, finish_reason=reason) for text in "ab"]
    student.script(Head(200, SSE), *(Send(data) for data in begun), Sleep(0.05), End())
    response = gateway.post(chat(stream=True))
    assert response.events[:2] == begun
    assert response.last_error["code"] == "stream_truncated"
    assert gateway.record(response)["outcome"] == "truncated"
    student.script(*stream(*begun, FINISH, usage_chunk(), DONE))
    response = gateway.post(chat(stream=True))
    assert response.body == b"".join(begun) + FINISH + DONE
    assert gateway.record(response)["outcome"] == "ok"


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES])
def test_an_end_marker_without_a_finish_is_complete(gateway: Gateway, student: ScriptedUpstream, path: str) -> None:
    answered = {
        CHAT: delta("a") + delta("b"),
        COMPLETIONS: event({"choices": [{"index": 0, "text": "a", "finish_reason": ""}]}),
        RESPONSES: CREATED + typed("response.output_text.delta", delta="a"),
    }[path]
    student.script(*stream(answered, DONE))
    response = ask(gateway, path)
    assert response.body == answered + DONE
    record = gateway.record(response)
    assert record["outcome"] == "ok"
    assert [a["outcome"] for a in record["attempts"]] == ["ok"]
    student.script(*stream(answered))
    cut = ask(gateway, path)
    assert b'"error"' in cut.body
    assert gateway.record(cut)["outcome"] == "truncated"


def test_an_end_marker_without_any_answer_falls_back(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    student.script(*stream(PING, ROLE, DONE))
    teacher.script(*stream(WHOLE[CHAT]))
    fell_back(gateway, ask(gateway, CHAT), CHAT)
