"""Events where JSON was asked for, and JSON where events were, at every endpoint, translated or not: the client never
gets a stream that it did not ask for, and what an upstream charges for is accounted.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.anthropic_like import MESSAGES, WHOLE_STREAM, message
from tests.contract.client import Response
from tests.contract.gateway import Gateway
from tests.contract.scripted import DONE, End, Head, Send, Step, answer, completion, delta, event
from tests.contract.test_answer_formats import CHAT, COMPLETIONS, RESPONSES, STREAMS, TYPES, WHOLE

# The student speaks the Messages API, the teacher gets it translated.
CONFIG: dict[str, Any] = {"student": {"messages": "native"}, "teacher": {"messages": "translate"}}
TALK = {"messages": [{"role": "user", "content": "hi"}]}
ASKED: dict[str, dict[str, Any]] = {
    CHAT: TALK, COMPLETIONS: {"prompt": "hi"}, RESPONSES: {"input": "hi"}, MESSAGES: {**TALK, "max_tokens": 9},
}  # fmt: skip
EVENTS = {**STREAMS, MESSAGES: b"".join(WHOLE_STREAM)}
ANSWERS = {**WHOLE, MESSAGES: message()}
OUTPUT = {CHAT: 3, COMPLETIONS: 3, RESPONSES: 3, MESSAGES: 7}
PLACES = [(path, "student") for path in ASKED] + [(MESSAGES, "teacher")]


def spoken(path: str, by: str) -> str:
    """The path whose API the upstream answers in."""
    return CHAT if (path, by) == (MESSAGES, "teacher") else path


def ask(gateway: Gateway, path: str, model: str, *, stream_it: bool = False) -> Response:
    return gateway.post({"model": model, "stream": stream_it, **ASKED[path]}, path=path)


def script(gateway: Gateway, by: str, *steps: Step) -> None:
    (gateway.student if by == "student" else gateway.teacher).script(*steps)


@pytest.mark.parametrize("named", ["upper case", "none", "application/json"])
@pytest.mark.parametrize(("path", "by"), PLACES)
def test_events_that_were_not_asked_for_are_a_failure_that_is_paid_for(
    gateway: Gateway, path: str, by: str, named: str
) -> None:
    script(gateway, by, Head(200, TYPES[named]), Send(EVENTS[spoken(path, by)]), End())
    response = ask(gateway, path, by)
    assert response.status == 502
    assert response.headers["content-type"] == "application/json"
    assert "although none was asked for" in response.json["error"]["message"]
    (attempt,) = gateway.record(response)["attempts"]
    assert (attempt["outcome"], attempt["cause"]) == ("upstream_error", "invalid_answer")
    assert (attempt["usage"]["output"], attempt["usage"]["complete"]) == (OUTPUT[spoken(path, by)], True)
    if by == "teacher":
        assert sum(attempt["cost"].values()) > 0


@pytest.mark.parametrize("path", ASKED)
def test_the_other_upstream_answers_in_json(gateway: Gateway, path: str) -> None:
    script(gateway, "student", Head(200, TYPES["upper case"]), Send(EVENTS[path]), End())
    wanted = ANSWERS[spoken(path, "teacher")]
    script(gateway, "teacher", *answer(wanted))
    response = ask(gateway, path, "auto")
    assert (response.status, response.headers["x-breakeven-reason"]) == (200, "fallback")
    assert response.headers["content-type"] == "application/json"
    assert response.json == wanted or response.json["type"] == "message"
    first, second = gateway.record(response)["attempts"]
    assert (first["outcome"], first["usage"]["complete"]) == ("upstream_error", True)
    assert (second["outcome"], second["usage"]["complete"]) == ("ok", True)


def test_without_usage_such_events_are_estimated(gateway: Gateway) -> None:
    text = b"".join(delta(f"word{number} ") for number in range(40)) + delta("", finish="stop") + DONE
    script(gateway, "teacher", Head(200, TYPES["upper case"]), Send(text), End())
    (attempt,) = gateway.record(ask(gateway, CHAT, "teacher"))["attempts"]
    assert attempt["usage_missing"] is True
    assert attempt["estimated"]["output"] >= 20
    assert attempt["cost_estimated"] > 0


ERROR = {"error": {"message": "no", "type": "t", "code": 503}}


@pytest.mark.parametrize("named", ["upper case", "none"])
@pytest.mark.parametrize("path", ASKED)
def test_an_error_in_such_events_has_its_status(gateway: Gateway, path: str, named: str) -> None:
    data = b"event: error\n" + event({"type": "error", **ERROR})
    for model in ("student", "auto"):
        script(gateway, "student", Head(200, TYPES[named]), Send(data), End())
        response = ask(gateway, path, model)
        if model == "student":
            assert (response.status, response.json["error"]["message"]) == (503, "no")
        else:
            assert (response.status, response.headers["x-breakeven-reason"]) == (200, "fallback")
        first = gateway.record(response)["attempts"][0]
        assert (first["cause"], first.get("usage_missing", False)) == ("error_event", False)


@pytest.mark.parametrize("body", [b"", b"\n\n", b": only a comment\n\n", b"data: [DONE]\n\n"])
@pytest.mark.parametrize("path", ASKED)
def test_events_without_an_answer_are_a_failure(gateway: Gateway, path: str, body: bytes) -> None:
    script(gateway, "student", Head(200, TYPES["upper case"]), *([Send(body)] if body else []), End())
    assert ask(gateway, path, "auto").headers["x-breakeven-reason"] == "fallback"


@pytest.mark.parametrize(("path", "by"), PLACES)
def test_json_that_is_called_events_is_json(gateway: Gateway, path: str, by: str) -> None:
    wanted = ANSWERS[spoken(path, by)]
    script(gateway, by, Head(200, TYPES["upper case"]), Send(json.dumps(wanted).encode()), End())
    response = ask(gateway, path, by)
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert response.json == wanted or response.json["type"] == "message"
    assert gateway.record(response)["attempts"][0]["usage"]["output"] == OUTPUT[spoken(path, by)]


@pytest.mark.parametrize(("path", "by"), PLACES)
def test_json_in_place_of_a_stream_is_passed_on_as_json_and_accounted(gateway: Gateway, path: str, by: str) -> None:
    wanted = ANSWERS[spoken(path, by)]
    script(gateway, by, *answer(wanted))
    response = ask(gateway, path, by, stream_it=True)
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert response.json == wanted or response.json["type"] == "message"
    record = gateway.record(response)
    assert (record["outcome"], record["attempts"][0]["usage"]["output"]) == ("ok", OUTPUT[spoken(path, by)])


@pytest.mark.parametrize("path", ASKED)
def test_json_that_is_called_events_in_place_of_a_stream_falls_back(gateway: Gateway, path: str) -> None:
    data = json.dumps(ANSWERS[path]).encode()
    script(gateway, "student", Head(200, TYPES["upper case"]), Send(data), End())
    assert ask(gateway, path, "auto", stream_it=True).headers["x-breakeven-reason"] == "fallback"
    script(gateway, "student", Head(200, TYPES["upper case"]), Send(data), End())
    assert ask(gateway, path, "student", stream_it=True).status == 502


def test_embeddings_are_never_events(gateway: Gateway) -> None:
    script(gateway, "student", Head(200, TYPES["upper case"]), Send(event(completion())), End())
    response = gateway.post({"input": "hi"}, path="/v1/embeddings")
    assert (response.status, response.error["code"]) == (502, "upstream_invalid_answer")
