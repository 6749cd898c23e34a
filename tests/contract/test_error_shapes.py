"""The words of an upstream's error reach the client, whatever shape that server gives its errors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract import anthropic_like as native
from tests.contract.gateway import Gateway
from tests.contract.scripted import DONE, Head, Raw, ScriptedUpstream, Step, answer, completion, delta, event, stream

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
