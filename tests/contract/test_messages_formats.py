"""Answers of the Messages API in forms that nobody asked for, passed on or translated: compressed, under another
content type, with numbers that JSON lacks, with what comes before the answer.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.anthropic_like import (
    BLOCK,
    MESSAGES,
    PING,
    STARTED,
    WHOLE_STREAM,
    asked,
    ended,
    error_of,
    message,
    piece,
    refusal,
    typed,
)
from tests.contract.client import Response
from tests.contract.gateway import Gateway
from tests.contract.scripted import End, Head, ScriptedUpstream, Send, Step, answer, completion, error_answer
from tests.contract.test_answer_formats import CHAT, ODD, SSE, STARTS, STREAMS, TYPES, segments
from tests.support.encodings import ENCODINGS

# The student speaks the Messages API, the teacher gets it translated.
CONFIG: dict[str, Any] = {"student": {"messages": "native"}, "teacher": {"messages": "translate"}}
EVENTS = {"student": b"".join(WHOLE_STREAM), "teacher": STREAMS[CHAT]}
WHOLE = {"student": message(), "teacher": completion("né")}
OUTPUT = {"student": 7, "teacher": 3}
SIDES = ["student", "teacher"]


def ask(gateway: Gateway, by: str, *, stream_it: bool) -> Response:
    return gateway.post(asked(model=by, stream=stream_it), path=MESSAGES)


def of(gateway: Gateway, by: str) -> ScriptedUpstream:
    return gateway.student if by == "student" else gateway.teacher


def plain(gateway: Gateway, by: str, *, stream_it: bool) -> bytes:
    """What the client gets for the answer in its usual form."""
    data = EVENTS[by] if stream_it else json.dumps(WHOLE[by]).encode()
    of(gateway, by).script(Head(200, SSE if stream_it else TYPES["application/json"]), Send(data), End())
    return ask(gateway, by, stream_it=stream_it).body


def answered(gateway: Gateway, response: Response, by: str, expected: bytes) -> None:
    assert (response.status, response.headers["x-breakeven-route"]) == (200, by)
    assert "content-encoding" not in response.headers
    assert response.body == expected
    record = gateway.record(response)
    (attempt,) = record["attempts"]
    assert (record["outcome"], attempt["usage"]["output"], attempt["usage"]["complete"]) == ("ok", OUTPUT[by], True)


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("by", SIDES)
def test_a_compressed_stream_is_decoded(gateway: Gateway, by: str, encoding: str, size: int) -> None:
    named, pack = ENCODINGS[encoding]
    expected = plain(gateway, by, stream_it=True)
    of(gateway, by).script(Head(200, {**SSE, "content-encoding": named}), *segments(pack(EVENTS[by]), size), End())
    answered(gateway, ask(gateway, by, stream_it=True), by, expected)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("by", SIDES)
def test_compressed_answers_and_errors_are_decoded(gateway: Gateway, by: str, encoding: str) -> None:
    named, pack = ENCODINGS[encoding]
    expected = plain(gateway, by, stream_it=False)
    of(gateway, by).script(*answer(pack(json.dumps(WHOLE[by]).encode()), content_encoding=named))
    answered(gateway, ask(gateway, by, stream_it=False), by, expected)
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "not like this"}}
    of(gateway, by).script(*answer(pack(json.dumps(error).encode()), 400, content_encoding=named))
    assert error_of(ask(gateway, by, stream_it=True)) == "not like this"


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("named", TYPES)
@pytest.mark.parametrize("by", SIDES)
def test_a_stream_under_another_content_type_is_one(gateway: Gateway, by: str, named: str, start: str) -> None:
    expected = plain(gateway, by, stream_it=True)
    # Of what is translated only comments, which keep connections alive, pass as they come.
    begun = STARTS[start] if by == "student" or start == "comment" else b""
    of(gateway, by).script(Head(200, TYPES[named]), *segments(STARTS[start] + EVENTS[by], 50), End())
    response = ask(gateway, by, stream_it=True)
    assert response.headers["content-type"].lower().startswith("text/event-stream")
    answered(gateway, response, by, begun + expected)


@pytest.mark.parametrize("named", TYPES)
@pytest.mark.parametrize("stream_it", [False, True])
@pytest.mark.parametrize("by", SIDES)
def test_an_answer_in_json_is_one_under_any_content_type(
    gateway: Gateway, by: str, stream_it: bool, named: str
) -> None:
    if stream_it and named == "upper case":  # which says that it is a stream
        of(gateway, by).script(Head(200, TYPES[named]), Send(json.dumps(WHOLE[by]).encode()), End())
        assert ask(gateway, by, stream_it=True).status == 502
        return
    expected = plain(gateway, by, stream_it=False)
    of(gateway, by).script(Head(200, TYPES[named]), Send(json.dumps(WHOLE[by]).encode()), End())
    answered(gateway, ask(gateway, by, stream_it=stream_it), by, expected)


@pytest.mark.parametrize("number", ODD)
def test_numbers_that_json_lacks_pass(gateway: Gateway, student: ScriptedUpstream, number: bytes) -> None:
    data = json.dumps({**message(), "more": "here"}).encode().replace(b'"here"', number)
    student.script(*answer(data))
    answered(gateway, ask(gateway, "student", stream_it=False), "student", data)
    events = EVENTS["student"].replace(b'"index": 0', b'"index": 0, "odd": ' + number)
    student.script(Head(200, SSE), Send(events), End())
    answered(gateway, ask(gateway, "student", stream_it=True), "student", events)
    # A translated answer leaves out what the API does not have.
    gateway.teacher.script(*answer(json.dumps({**WHOLE["teacher"], "more": "x"}).encode().replace(b'"x"', number)))
    answered(gateway, ask(gateway, "teacher", stream_it=False), "teacher", plain(gateway, "teacher", stream_it=False))


FAILED = typed("error", error={"type": "overloaded_error", "message": "Overloaded"})
PREAMBLES = {
    "nothing": b"", "comment": b": hi\n\n", "ping": PING, "started": STARTED, "started and ping": STARTED + PING,
    "empty block": STARTED + BLOCK, "empty piece": STARTED + BLOCK + piece(""),
    "thinking begins": STARTED + typed("content_block_start", content_block={"type": "thinking", "thinking": ""}),
}  # fmt: skip


@pytest.mark.parametrize("end", ["error", "end", "cut"])
@pytest.mark.parametrize("preamble", PREAMBLES)
def test_what_comes_before_the_answer_is_held(
    gateway: Gateway, student: ScriptedUpstream, preamble: str, end: str
) -> None:
    data = PREAMBLES[preamble] + {"error": FAILED, "end": b"", "cut": b"data: {"}[end]
    steps: list[Step] = [Head(200, SSE), *([Send(data)] if data else []), End()]
    student.script(*steps)
    response = gateway.post(asked(stream=True), path=MESSAGES)
    assert (response.status, response.headers["x-breakeven-reason"]) == (200, "fallback")
    student.script(*steps)
    refused = ask(gateway, "student", stream_it=True)
    assert refused.status == (529 if end == "error" else 502)
    error_of(refused)


def test_an_answer_without_text_is_one(gateway: Gateway, student: ScriptedUpstream) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    for events in (
        (STARTED, typed("content_block_start", index=0, content_block=call), ended("tool_use"), typed("message_stop")),
        (STARTED, ended("refusal"), typed("message_stop")),
        (STARTED, ended("end_turn"), typed("message_stop")),
    ):
        student.script(Head(200, SSE), Send(b"".join(events)), End())
        response = gateway.post(asked(stream=True), path=MESSAGES)
        assert (response.status, response.headers["x-breakeven-route"]) == (200, "student")
        assert response.body == b"".join(events)
        assert gateway.record(response)["outcome"] == "ok"


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("stream_it", [False, True])
def test_refusals_keep_status_in_either_api(gateway: Gateway, status: int, stream_it: bool) -> None:
    gateway.student.script(*refusal(status if status != 422 else 400, "no"))
    gateway.teacher.script(*error_answer(status, "no"))
    assert error_of(ask(gateway, "student", stream_it=stream_it)) == "no"
    refused = ask(gateway, "teacher", stream_it=stream_it)
    assert (refused.status, refused.json["error"]["message"]) == (status, "no")
