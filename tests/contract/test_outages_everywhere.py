"""At every endpoint, streamed or not, translated or not: an outage or a limit of one upstream holds nobody, and the
teacher's 429 stays one.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from tests.contract.anthropic_like import MESSAGES
from tests.contract.client import Response
from tests.contract.gateway import Gateway
from tests.contract.scripted import End, Head, ScriptedUpstream, Send, Step, error_answer, stream
from tests.contract.test_unasked_events import ANSWERS, ASKED, CHAT, COMPLETIONS, EVENTS, RESPONSES

# The student speaks the Messages API, the teacher gets it translated.
CONFIG: dict[str, Any] = {
    "routing": {"sticky": True, "threshold": 0.5},
    "student": {"messages": "native"},
    "teacher": {"messages": "translate"},
}
EASY, DIFFICULT = "auto@1", "auto@0"
CASES = list(itertools.product(ASKED, (False, True)))
OUTAGES: dict[str, list[Step]] = {
    "503": error_answer(503, "no"),
    "429": error_answer(429, "slow down"),
    "an error first": stream(b'data: {"type": "error", "error": {"message": "no", "code": 500}}\n\n'),
    "no answer": [Head(200, {"content-type": "text/event-stream"}), End()],
}


def spoken(upstream: ScriptedUpstream, path: str) -> str:
    return CHAT if path == MESSAGES and upstream.model == "big" else path


def answers(gateway: Gateway, path: str, *, stream_it: bool) -> None:
    """Let both upstreams answer in the API that each speaks."""
    for upstream in (gateway.student, gateway.teacher):
        api = spoken(upstream, path)
        data = EVENTS[api] if stream_it else json.dumps(ANSWERS[api]).encode()
        kind = "text/event-stream" if stream_it else "application/json"
        upstream.default(Head(200, {"content-type": kind}), Send(data), End())


def asked(path: str, texts: tuple[str, ...]) -> dict[str, Any]:
    """The request of a conversation whose turns are these texts, the user's first."""
    if path == COMPLETIONS:
        return {"prompt": "\n".join(texts)}
    roles = itertools.cycle(("user", "assistant"))
    turns = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return {**ASKED[path], "input" if path == RESPONSES else "messages": turns}


def send(gateway: Gateway, path: str, *texts: str, stream_it: bool, model: str = EASY, headers: Any = None) -> Response:
    return gateway.post({"model": model, "stream": stream_it, **asked(path, texts)}, headers, path)


def where(response: Response) -> tuple[str, str]:
    assert response.status == 200, response.body
    return response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize(("path", "stream_it"), CASES)
def test_an_outage_holds_nobody(gateway: Gateway, path: str, stream_it: bool, outage: str) -> None:
    answers(gateway, path, stream_it=stream_it)
    hi = f"Hi {time.time_ns()}"
    gateway.student.script(*OUTAGES[outage])
    response = send(gateway, path, hi, stream_it=stream_it)
    assert where(response) == ("teacher", "fallback")
    assert "x-breakeven-hold" not in response.headers
    for number in range(3):
        assert where(send(gateway, path, hi, stream_it=stream_it)) == ("student", "easy")
        later = (hi, "hello", f"question {number}")
        assert where(send(gateway, path, *later, stream_it=stream_it)) == ("student", "easy")


@pytest.mark.parametrize(("path", "stream_it"), CASES)
def test_an_outage_does_not_hold_a_named_conversation(gateway: Gateway, path: str, stream_it: bool) -> None:
    answers(gateway, path, stream_it=stream_it)
    named = {"x-breakeven-conversation": f"outage-{time.time_ns()}"}
    gateway.student.script(*error_answer(503))
    assert where(send(gateway, path, "a", stream_it=stream_it, headers=named)) == ("teacher", "fallback")
    assert where(send(gateway, path, "b", stream_it=stream_it, headers=named)) == ("student", "easy")


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
@pytest.mark.parametrize(("path", "stream_it"), CASES)
def test_the_teachers_429_stays_one(gateway: Gateway, path: str, stream_it: bool, status: int) -> None:
    gateway.teacher.default(*error_answer(429, "slow down", **{"retry-after": "7"}))
    gateway.student.default(*error_answer(status, "of the student"))
    response = send(gateway, path, "hi", stream_it=stream_it, model=DIFFICULT)
    assert (response.status, response.headers["retry-after"]) == (429, "7")
    assert response.json["error"]["message"] == "slow down"
    assert gateway.record(response)["attempts"][0]["cause"] == "rate_limited"


@pytest.mark.parametrize("path", ASKED)
def test_a_limit_that_is_told_in_a_stream_is_a_429_too(gateway: Gateway, path: str) -> None:
    error = b'{"type": "rate_limit_error", "message": "slow down", "code": "rate_limit_exceeded"}'
    gateway.teacher.default(*stream(b'event: error\ndata: {"type": "error", "error": %b}\n\n' % error))
    gateway.student.default(*error_answer(500, "of the student"))
    response = send(gateway, path, "hi", stream_it=True, model=DIFFICULT)
    assert (response.status, response.json["error"]["message"]) == (429, "slow down")
