"""The words of an upstream's error reach the client, whatever shape that server gives its errors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract import anthropic_like as native
from tests.contract.gateway import STUDENT_KEY, Gateway, chat
from tests.contract.scripted import (
    DONE,
    End,
    Head,
    Raw,
    ScriptedUpstream,
    Send,
    Step,
    answer,
    completion,
    delta,
    event,
    stream,
)

CONFIG: dict[str, Any] = {"student": {"messages": "native"}}
CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", native.MESSAGES
ASKED: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "hi"}]}, COMPLETIONS: {"prompt": "hi"}, RESPONSES: {"input": "hi"},
    MESSAGES: native.asked(),
}  # fmt: skip
GEMINI = [{"error": {"code": 429, "message": "no such luck", "status": "RESOURCE_EXHAUSTED"}}]
FASTAPI = {
    "detail": [
        {"type": "missing", "loc": ["body", "messages", 0, "role"], "msg": "Field required", "input": "a secret"},
        {"type": "value_error", "loc": [], "msg": "no"},
        "what is this",
    ]
}
SHAPES: dict[str, tuple[Any, str]] = {
    "OpenAI": ({"error": {"message": "no such luck", "type": "t", "param": None, "code": None}}, "no such luck"),
    "Gemini": (GEMINI, "no such luck"),
    "a text in error": ({"error": "no such luck"}, "no such luck"),
    "FastAPI": ({"detail": "no such luck"}, "no such luck"),
    "FastAPI's fields": (FASTAPI, "messages.0.role: Field required; no"),
    "JSON:API": ({"errors": [{"message": "no such luck"}]}, "no such luck"),
    "a message": ({"message": "no such luck", "code": 7}, "no such luck"),
    "a text": ("no such luck", "no such luck"),
    "nothing": ({}, "The student answered with status 418."),
    "an empty array": ([], "The student answered with status 418."),
    "numbers": ([1, 2], "The student answered with status 418."),
    "an empty detail": ({"detail": []}, "The student answered with status 418."),
}


def ask(gateway: Gateway, path: str, **fields: Any) -> Any:
    return gateway.post({**ASKED[path], "model": "student", **fields}, path=path)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", ASKED)
def test_the_words_of_an_error(
    gateway: Gateway, student: ScriptedUpstream, path: str, shape: str, streamed: bool
) -> None:
    value, words = SHAPES[shape]
    student.script(*answer(value, 418))
    response = ask(gateway, path, stream=streamed)
    assert (response.status, response.json["error"]["message"]) == (418, words)


def in_success(streamed: bool) -> list[Step]:
    return stream(event(GEMINI), DONE) if streamed else answer(GEMINI)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("path", ASKED)
def test_an_error_in_an_array_with_success_is_one(
    gateway: Gateway, student: ScriptedUpstream, path: str, streamed: bool
) -> None:
    student.script(*in_success(streamed))
    response = ask(gateway, path, stream=streamed)
    assert (response.status, response.json["error"]["message"]) == (429, "no such luck")
    student.script(*in_success(streamed))
    assert ask(gateway, path, stream=streamed, model="auto").headers["x-breakeven-reason"] == "fallback"


def test_an_array_in_the_middle_of_a_stream_is_an_error_too(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*stream(delta("a"), event(GEMINI)))
    response = ask(gateway, CHAT, stream=True)
    assert response.body == delta("a") + event(GEMINI) + DONE
    assert gateway.record(response)["outcome"] == "upstream_error"


def test_two_content_types_count_as_the_first(gateway: Gateway, student: ScriptedUpstream) -> None:
    head = {"content-type": "application/json", "Content-Type": "text/plain", "content-length": "2"}
    student.script(Head(200, head), Raw(b"{}"))
    assert ask(gateway, CHAT).headers["content-type"] == "application/json"


@pytest.mark.parametrize("named", ["utf-8", "UTF-8", "none", "binary", "identity, utf-8", ""])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_names_no_encoding_is_ignored(
    gateway: Gateway, student: ScriptedUpstream, named: str, streamed: bool
) -> None:
    whole = answer(completion(), content_encoding=named)
    begun = Head(200, {"content-type": "text/event-stream", "content-encoding": named})
    events = stream(delta("a"), delta("", finish="stop"), DONE)
    student.script(*([begun, *events[1:]] if streamed else whole))
    assert ask(gateway, CHAT, stream=streamed).status == 200


TEXT = {"content-type": "text/plain; charset=utf-8"}


@pytest.mark.parametrize("stream_it", [False, True])
@pytest.mark.parametrize("path", ASKED)
def test_a_line_of_plain_text_is_the_message(
    gateway: Gateway, student: ScriptedUpstream, path: str, stream_it: bool
) -> None:
    body = {**ASKED[path], "model": "student", "stream": stream_it}
    student.script(Head(503, TEXT), Send(b"No available workers (all circuits open)\n"), End())
    response = gateway.post(body, path=path)
    assert (response.status, response.json["error"]["message"]) == (503, "No available workers (all circuits open)")
    key = STUDENT_KEY.encode()
    student.script(Head(400, TEXT), Send(b"the key " + key + b" is odd"), End())
    assert gateway.post(body, path=path).json["error"]["message"] == "the key [removed] is odd"


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (TEXT, b"x" * 600), (TEXT, b"two\nlines"), (TEXT, b"\x00\xff"), (TEXT, b""), (TEXT, b" \n"),
        ({"content-type": "text/html"}, b"<html>"), ({}, b"No workers"),
    ],
)  # fmt: skip
def test_other_text_is_no_message(
    gateway: Gateway, student: ScriptedUpstream, headers: dict[str, str], text: bytes
) -> None:
    student.script(Head(503, headers), *([Send(text)] if text else []), End())
    assert gateway.post(chat(model="student")).error["message"] == "The student answered with status 503."


FAILED = {
    "id": "resp_1", "object": "response", "status": "failed", "output": [],
    "error": {"code": "server_error", "message": "died"},
    "usage": {"input_tokens": 12, "output_tokens": 0, "total_tokens": 12},
}  # fmt: skip


@pytest.mark.parametrize("usage", [True, False])
def test_a_response_that_says_it_failed_is_a_failure_and_paid_for(
    gateway: Gateway, student: ScriptedUpstream, usage: bool
) -> None:
    value = FAILED if usage else {**FAILED, "usage": None}
    for model in ("student", "auto"):
        student.script(*answer(value))
        response = gateway.post({"model": model, "input": "hi"}, path="/v1/responses")
        if model == "student":
            assert (response.status, response.error["message"], response.error["code"]) == (502, "died", "server_error")
        else:
            assert (response.status, response.headers["x-breakeven-reason"]) == (200, "fallback")
        first = gateway.record(response)["attempts"][0]
        assert (first["outcome"], first["cause"]) == ("upstream_error", "error_event")
        assert first["usage"]["prompt"] == (12 if usage else 0)


@pytest.mark.parametrize("fields", [{"output": [{"type": "message"}]}, {"error": None}, {"status": "incomplete"}])
def test_a_response_with_anything_to_show_is_an_answer(
    gateway: Gateway, student: ScriptedUpstream, fields: dict[str, object]
) -> None:
    student.script(*answer({**FAILED, **fields}))
    response = gateway.post({"model": "student", "input": "hi"}, path="/v1/responses")
    assert (response.status, response.json) == (200, {**FAILED, **fields})


def test_a_stored_response_that_failed_is_what_was_asked_for(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    teacher.script(*answer(FAILED))
    response = gateway.get("/v1/responses/resp_of_another_process")
    assert (response.status, response.json) == (200, FAILED)
