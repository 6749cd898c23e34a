"""A client may close as soon as it has the last event of a stream: the request is settled as if it had waited."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from tests.contract import anthropic_like as native
from tests.contract.gateway import Gateway
from tests.contract.scripted import (
    DONE,
    ExpectDisconnect,
    Head,
    ScriptedUpstream,
    Send,
    answer,
    delta,
    event,
    usage_chunk,
)
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object, typed

CONFIG: dict[str, Any] = {"student": {"messages": "translate"}, "teacher": {"messages": "native"}}
CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
SSE = {"content-type": "text/event-stream"}
CHUNKS = (delta("a"), delta("", finish="stop"), usage_chunk())
REPORTED = {"prompt": 10, "output": 3, "complete": True}


class Kind(NamedTuple):
    """A request, the events of the upstream, what the last one that the client gets ends with, and what is settled."""

    path: str
    fields: dict[str, Any]
    events: tuple[bytes, ...]
    last: bytes
    outcome: str = "ok"
    usage: dict[str, Any] = REPORTED


def response(status: str) -> dict[str, Any]:
    return {**response_object(usage=RESPONSE_USAGE), "id": f"resp_ended_{status}", "status": status}


def responses(status: str, outcome: str = "ok") -> Kind:
    last = typed(f"response.{status}", response=response(status))
    events = (typed("response.output_text.delta", delta="a"), last)
    used = {"prompt": RESPONSE_USAGE["input_tokens"], "output": RESPONSE_USAGE["output_tokens"], "complete": True}
    return Kind(RESPONSES, {"model": "student", "input": "hi"}, events, last, outcome, used)


HI = {"messages": [{"role": "user", "content": "hi"}]}
TEXT = event({"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]})
KINDS = {
    "chat": Kind(CHAT, {"model": "student", **HI}, (*CHUNKS, DONE), DONE),
    "completions": Kind(COMPLETIONS, {"model": "student", "prompt": "hi"}, (TEXT, usage_chunk(), DONE), DONE),
    "responses completed": responses("completed"),
    "responses incomplete": responses("incomplete"),
    "responses cancelled": responses("cancelled"),
    "responses failed": responses("failed", "upstream_error"),
    "messages": Kind(
        native.MESSAGES, native.asked(model="teacher"), native.WHOLE_STREAM, native.STOP,
        usage={"prompt": 153, "cached": 100, "output": 7, "complete": True},
    ),
    "messages failed": Kind(
        native.MESSAGES, native.asked(model="teacher"),
        (*native.WHOLE_STREAM[:4], native.typed("error", error={"type": "overloaded_error", "message": "full"})),
        b'"message": "full"}}\n\n', "upstream_error", {"prompt": 153, "complete": False},
    ),
    "messages translated": Kind(
        native.MESSAGES, native.asked(model="student"), (*CHUNKS, DONE), b'data: {"type":"message_stop"}\n\n',
    ),
}  # fmt: skip
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def ask_and_close(gateway: Gateway, kind: Kind, *, together: bool = False) -> dict[str, Any]:
    """Ask, and close at the last event, after which the upstream does not end the body; returns the record."""
    upstream = gateway.teacher if kind.fields["model"] == "teacher" else gateway.student
    segments = (b"".join(kind.events),) if together else kind.events
    upstream.script(Head(200, SSE), *map(Send, segments), ExpectDisconnect(5))
    count = len(gateway.settled())
    got = b""
    with gateway.connect() as client:
        client.request("POST", kind.path, json.dumps({**kind.fields, "stream": True}).encode())
        _, headers = client.head()
        for segment in client.segments(headers):
            got += segment
            if got.endswith(kind.last):
                break
        client.reset()
    assert got.endswith(kind.last), got
    return gateway.next_record(count)


@each_kind
def test_a_client_that_closes_after_the_last_event_has_not_cancelled(gateway: Gateway, kind: Kind) -> None:
    record = ask_and_close(gateway, kind)
    (attempt,) = record["attempts"]
    assert (record["outcome"], attempt["outcome"]) == (kind.outcome, kind.outcome)
    assert attempt["usage"] | kind.usage == attempt["usage"]


# An error in the first segment is a status, and no stream.
@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.outcome == "ok"])
def test_it_has_not_where_all_came_at_once(gateway: Gateway, kind: Kind) -> None:
    record = ask_and_close(gateway, kind, together=True)
    assert (record["outcome"], record["attempts"][0]["usage"]["complete"]) == ("ok", True)


@each_kind
def test_the_last_event_ends_the_answer_although_the_upstream_goes_on(gateway: Gateway, kind: Kind) -> None:
    upstream = gateway.teacher if kind.fields["model"] == "teacher" else gateway.student
    upstream.script(Head(200, SSE), *map(Send, kind.events), ExpectDisconnect(5))
    answered = gateway.post({**kind.fields, "stream": True}, path=kind.path)
    assert answered.body.endswith(kind.last)
    assert answered.body.count(kind.last) == 1
    # The idle timeout of this suite, after which the stream would have ended as well.
    assert gateway.record(answered)["seconds"] < 0.9


@pytest.mark.parametrize("status", ["completed", "incomplete"])
@pytest.mark.parametrize("known_before", [True, False])
def test_a_response_is_continued_where_it_is_after_its_client_closed(
    gateway: Gateway, teacher: ScriptedUpstream, status: str, known_before: bool
) -> None:
    whole = {**response(status), "id": f"resp_closed_{status}_{known_before}"}
    last = typed(f"response.{status}", response=whole)
    first = typed("response.created", response=whole) if known_before else typed("response.output_text.delta", delta="")
    kind = Kind(RESPONSES, {"model": "teacher", "input": "hi"}, (first, last), last)
    assert ask_and_close(gateway, kind)["outcome"] == "ok"
    teacher.script(*answer(whole))
    # By its score this would be the student's.
    again = {"model": "auto@1", "input": "and?", "previous_response_id": whole["id"]}
    continued = gateway.post(again, path=RESPONSES)
    assert (continued.headers["x-breakeven-route"], continued.headers["x-breakeven-reason"]) == ("teacher", "sticky")
