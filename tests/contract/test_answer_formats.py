"""Answers in forms that nobody asked for: compressed, under another content type, with numbers that JSON lacks."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import time
import zlib
from typing import Any

import pytest

from tests.contract.client import Response
from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import (
    DONE,
    USAGE,
    End,
    Head,
    Raw,
    ScriptedUpstream,
    Send,
    Sleep,
    Step,
    answer,
    completion,
    delta,
    error_answer,
    event,
    stream,
    usage_chunk,
)
from tests.support.encodings import ENCODINGS

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
FINISH = delta("", finish="stop")
TEXT = {"object": "text_completion", "choices": [{"index": 0, "text": "né", "finish_reason": "stop"}], "usage": USAGE}
RESPONSE_USAGE = {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
STORED = {"id": "resp_1", "object": "response", "status": "completed", "output": [], "usage": RESPONSE_USAGE}
WHOLE: dict[str, Any] = {CHAT: completion("né"), COMPLETIONS: TEXT, RESPONSES: STORED}
TYPED = [
    {"type": "response.created", "response": {**STORED, "status": "in_progress", "usage": None}},
    {"type": "response.output_text.delta", "delta": "né"},
    {"type": "response.completed", "response": STORED},
]
STREAMS = {
    CHAT: delta("né") + delta("b") + FINISH + usage_chunk() + DONE,
    COMPLETIONS: event({**TEXT, "usage": None}) + usage_chunk() + DONE,
    RESPONSES: b"".join(event(value) for value in TYPED),
}
PATHS = [CHAT, COMPLETIONS, RESPONSES]
SSE = {"content-type": "text/event-stream"}


def ask(gateway: Gateway, path: str, *, stream_it: bool, model: str = "auto") -> Response:
    asked = {CHAT: {"messages": [{"role": "user", "content": "hi"}]}, COMPLETIONS: {"prompt": "hi"}}
    body = {"model": model, "stream": stream_it, **asked.get(path, {"input": "hi"})}
    return gateway.post(body, path=path)


def answered(gateway: Gateway, response: Response, path: str, *, stream_it: bool) -> None:
    """By the student, with the whole of its answer and usage."""
    assert response.status == 200
    assert response.headers["x-breakeven-route"] == "student"
    assert "content-encoding" not in response.headers
    if stream_it:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.body == STREAMS[path].replace(usage_chunk(), b"")
    else:
        assert response.json == WHOLE[path]
    record = gateway.record(response)
    assert record["outcome"] == "ok"
    assert [a["usage"]["output"] for a in record["attempts"]] == [3]


def segments(data: bytes, size: int) -> list[Step]:
    return [Send(data[start : start + size]) for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("path", PATHS)
def test_a_compressed_stream_is_decoded(
    gateway: Gateway, student: ScriptedUpstream, path: str, encoding: str, size: int
) -> None:
    named, pack = ENCODINGS[encoding]
    student.script(Head(200, {**SSE, "content-encoding": named}), *segments(pack(STREAMS[path]), size), End())
    answered(gateway, ask(gateway, path, stream_it=True), path, stream_it=True)
    assert student.last.headers["accept-encoding"] == "identity"


def test_a_compressed_event_arrives_as_soon_as_it_was_flushed(gateway: Gateway, student: ScriptedUpstream) -> None:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    steps: list[Step] = []
    for part in (delta("1"), delta("2"), delta("3"), FINISH + DONE):
        steps += [Send(packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)), Sleep(0.3)]
    student.script(Head(200, {**SSE, "content-encoding": "gzip"}), *steps, Send(packer.flush()), End())
    with gateway.connect() as client:
        _, headers = client.request("POST", CHAT, json.dumps(chat(stream=True)).encode()).head()
        times = [time.monotonic() for _ in client.segments(headers)]
    assert sum(b - a > 0.1 for a, b in itertools.pairwise(times)) >= 2, times


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("path", PATHS)
def test_a_compressed_answer_is_decoded(gateway: Gateway, student: ScriptedUpstream, path: str, encoding: str) -> None:
    named, pack = ENCODINGS[encoding]
    student.script(*answer(pack(json.dumps(WHOLE[path]).encode()), 200, content_encoding=named))
    answered(gateway, ask(gateway, path, stream_it=False), path, stream_it=False)


@pytest.mark.parametrize("stream_it", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_error_is_decoded(
    gateway: Gateway, student: ScriptedUpstream, encoding: str, stream_it: bool
) -> None:
    named, pack = ENCODINGS[encoding]
    error = {"error": {"message": "not like this", "type": "t", "param": "p", "code": "c"}}
    student.script(*answer(pack(json.dumps(error).encode()), 422, content_encoding=named))
    response = gateway.post(chat(stream=stream_it))
    assert response.status == 422
    assert response.json == error
    student.script(*answer(pack(json.dumps(error).encode()), 429, content_encoding=named))
    assert gateway.post(chat(stream=stream_it)).headers["x-breakeven-reason"] == "fallback"


BROKEN = {
    "another encoding": ("compress", b"x"),
    "unknown beside a known one": ("gzip, what", gzip.compress(b"{}")),
    "no gzip at all": ("gzip", b"not gzip at all"),
    "gzip without its end": ("gzip", gzip.compress(STREAMS[CHAT])[:-20]),
    "gzip and something behind it": ("gzip", gzip.compress(b"{}") + b"garbage"),
    "damaged br": ("br", b"\xff" * 20),
    "damaged zstd": ("zstd", b"\x28\xb5\x2f\xfd" + b"\xff" * 20),
    "damaged deflate": ("deflate", b"\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("stream_it", [False, True])
@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_decoded_is_a_failure(
    gateway: Gateway, student: ScriptedUpstream, name: str, stream_it: bool
) -> None:
    encoding, data = BROKEN[name]
    head = {"content-type": "text/event-stream" if stream_it else "application/json", "content-encoding": encoding}
    if not (stream_it and name == "gzip without its end"):  # whose first events are whole
        student.script(Head(200, head), Send(data), End())
        assert gateway.post(chat(stream=stream_it)).headers["x-breakeven-reason"] == "fallback"
        student.script(Head(200, head), Send(data), End())
        response = gateway.post(chat(model="student", stream=stream_it))
        assert response.status == 502
        assert response.error["code"] in ("upstream_encoding", "empty_stream")
    student.script(Head(500, head), Send(data), End())
    response = gateway.post(chat(model="student", stream=stream_it))
    assert response.status == 500
    assert response.error["message"] == "The student answered with status 500."


def test_a_small_answer_that_decodes_to_much_is_read_in_pieces(gateway: Gateway, student: ScriptedUpstream) -> None:
    big = delta("x" * (7 << 20)) * 3
    student.script(Head(200, {**SSE, "content-encoding": "gzip"}), Send(gzip.compress(big + FINISH + DONE)), End())
    assert gateway.post(chat(stream=True)).body == big + FINISH + DONE


def test_a_small_event_that_decodes_to_too_much_ends_the_stream(gateway: Gateway, student: ScriptedUpstream) -> None:
    big = delta("1") + delta("x" * (40 << 20))
    student.script(Head(200, {**SSE, "content-encoding": "gzip"}), Send(gzip.compress(big + FINISH + DONE)), End())
    body = gateway.post(chat(stream=True)).body
    assert body.startswith(delta("1"))
    assert b"answer_too_long" in body
    assert len(body) < 1 << 20


TYPES: dict[str, dict[str, str]] = {
    "none": {},
    "text/plain": {"content-type": "text/plain; charset=utf-8"},
    "application/json": {"content-type": "application/json"},
    "application/octet-stream": {"content-type": "application/octet-stream"},
    "text/html": {"content-type": "text/html"},
    "upper case": {"content-type": "Text/Event-Stream;charset=UTF-8"},
}
STARTS = {"": b"", "comment": b": ping\n\n", "event": b"event: x\n\n", "empty lines": b"\n\n", "CRLF": b"\r\n\r\n"}


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("named", TYPES)
@pytest.mark.parametrize("path", PATHS)
def test_a_stream_under_another_content_type_is_one(
    gateway: Gateway, student: ScriptedUpstream, path: str, named: str, start: str, size: int
) -> None:
    data = STARTS[start] + STREAMS[path]
    student.script(Head(200, TYPES[named]), *segments(data, size), End())
    response = ask(gateway, path, stream_it=True)
    assert response.headers["content-type"].lower().startswith("text/event-stream")
    assert response.body == data.replace(usage_chunk(), b"")
    assert response.headers["x-accel-buffering"] == "no"
    record = gateway.record(response)
    assert (record["outcome"], record["attempts"][0]["usage"]["output"]) == ("ok", 3)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_a_stream_under_another_content_type_with_a_byte_order_mark(
    gateway: Gateway, student: ScriptedUpstream, ending: bytes
) -> None:
    data = b"\xef\xbb\xbf" + (delta("a") + FINISH + DONE).replace(b"\n", ending)
    student.script(Head(200, {}), *segments(data, 1), End())
    assert gateway.post(chat(stream=True)).body == data


def test_a_compressed_stream_without_a_content_type(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(Head(200, {"content-encoding": "zstd"}), Send(ENCODINGS["zstd"][1](STREAMS[CHAT])), End())
    answered(gateway, ask(gateway, CHAT, stream_it=True), CHAT, stream_it=True)


def test_an_error_first_under_another_content_type_falls_back(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(Head(200, {}), Send(event({"error": {"message": "no", "code": 500}})), End())
    assert gateway.post(chat(stream=True)).headers["x-breakeven-reason"] == "fallback"


@pytest.mark.parametrize("named", ["none", "text/plain", "application/json", "application/octet-stream"])
@pytest.mark.parametrize("stream_it", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_an_answer_in_json_is_one_under_any_content_type(
    gateway: Gateway, student: ScriptedUpstream, path: str, stream_it: bool, named: str
) -> None:
    data = b" \n" + json.dumps(WHOLE[path]).encode()
    student.script(Head(200, {**TYPES[named], "content-length": str(len(data))}), Raw(data))
    response = ask(gateway, path, stream_it=stream_it)
    assert response.body == data
    assert response.headers["content-type"] == TYPES[named].get("content-type", "application/json")
    assert gateway.record(response)["attempts"][0]["usage"]["output"] == 3


@pytest.mark.parametrize("body", [b"<html>", b"data of another kind", b"identity: x", b"\xef\xbb\xbf<html>", b"", b"e"])
@pytest.mark.parametrize("stream_it", [False, True])
def test_neither_events_nor_json_is_a_failure(
    gateway: Gateway, student: ScriptedUpstream, stream_it: bool, body: bytes
) -> None:
    student.script(Head(200, {"content-type": "text/html"}), *([Send(body)] if body else []), End())
    assert gateway.post(chat(stream=stream_it)).headers["x-breakeven-reason"] == "fallback"
    student.script(Head(200, {"content-type": "text/html"}), *([Send(body)] if body else []), End())
    refused = gateway.post(chat(stream=stream_it, model="student"))
    assert (refused.status, refused.error["code"]) == (502, "upstream_invalid_answer")


@pytest.mark.parametrize("stream_it", [False, True])
def test_an_error_object_with_success_is_a_failure(
    gateway: Gateway, student: ScriptedUpstream, stream_it: bool
) -> None:
    of_vllm = {"object": "error", "message": "no", "type": "E", "param": None, "code": 500}
    for error, status, kind in ((of_vllm, 500, "E"), ({"error": "no"}, 502, "upstream_error")):
        student.script(*answer(error))
        assert gateway.post(chat(stream=stream_it)).headers["x-breakeven-reason"] == "fallback"
        student.script(*answer(error))
        refused = gateway.post(chat(stream=stream_it, model="student"))
        assert (refused.status, refused.error["type"], refused.error["message"]) == (status, kind, "no")


BESIDE: list[dict[str, Any]] = [
    {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}},
    {"choices": [], "usage": None},
    {"object": "chat.completion", "choices": None},
    {"id": "c", "object": "text_completion", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
]


@pytest.mark.parametrize("beside", BESIDE, ids=lambda one: ",".join(one))
@pytest.mark.parametrize("stream_it", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/messages"])
def test_an_error_with_success_is_a_failure_whatever_is_beside_it(
    gateway: Gateway, student: ScriptedUpstream, path: str, stream_it: bool, beside: dict[str, Any]
) -> None:
    body = {**chat("hi"), "prompt": "hi", "stream": stream_it}
    error = {"error": {"message": "it died", "code": 503}, **beside}
    student.script(*answer(error))
    assert gateway.post({**body, "model": "auto"}, path=path).headers["x-breakeven-reason"] == "fallback"
    student.script(*answer(error))
    refused = gateway.post({**body, "model": "student"}, path=path)
    assert (refused.status, refused.json["error"]["message"]) == (503, "it died")
    # What was reported is paid for.
    usage = gateway.record(refused)["attempts"][0]["usage"]
    assert (usage["prompt"], usage["output"]) == ((7, 2) if beside.get("usage") else (0, 0))


def test_an_answer_with_something_in_it_is_one_beside_an_error(gateway: Gateway, student: ScriptedUpstream) -> None:
    value = {**completion("half of it"), "error": {"message": "then it died", "code": 503}}
    student.script(*answer(value))
    assert gateway.post(chat()).json == value


ODD = [b"NaN", b"-Infinity", b"Infinity"]


@pytest.mark.parametrize("number", ODD)
@pytest.mark.parametrize("path", PATHS)
def test_numbers_that_json_lacks_pass_in_an_answer(
    gateway: Gateway, student: ScriptedUpstream, path: str, number: bytes
) -> None:
    value = {"logprob": "here", "text": 'NaN, "-Infinity" \\'}
    data = json.dumps({**WHOLE[path], "more": value}).encode().replace(b'"here"', number)
    student.script(*answer(data))
    response = ask(gateway, path, stream_it=False)
    assert response.body == data
    record = gateway.record(response)
    assert (record["outcome"], record["route"]) == ("ok", "student")
    assert [a["usage"] for a in record["attempts"]] == [{"prompt": 10, "cached": 0, "output": 3, "complete": True}]


@pytest.mark.parametrize("number", ODD)
@pytest.mark.parametrize("path", PATHS)
def test_numbers_that_json_lacks_pass_in_every_event(
    gateway: Gateway, student: ScriptedUpstream, path: str, number: bytes
) -> None:
    events = [part + b"\n\n" for part in STREAMS[path].split(b"\n\n")[:-1]]
    events = [event.replace(b"}\n\n", b',"more":[%b,"NaN \\""]}\n\n' % number) for event in events]
    student.script(*stream(*events))
    response = ask(gateway, path, stream_it=True)
    kept = [event for event in events if b'"choices":[]' not in event]
    assert response.events == kept
    record = gateway.record(response)
    assert (record["outcome"], record["route"]) == ("ok", "student")
    assert [a["usage"] for a in record["attempts"]] == [{"prompt": 10, "cached": 0, "output": 3, "complete": True}]


@pytest.mark.parametrize("number", ODD)
def test_a_last_event_without_its_empty_line_may_hold_such_a_number(
    gateway: Gateway, student: ScriptedUpstream, number: bytes
) -> None:
    last = FINISH.replace(b"}\n\n", b',"more":%b}' % number)
    student.script(*stream(delta("a"), last))
    response = gateway.post(chat(stream=True))
    assert response.body == delta("a") + last + b"\n\n" + DONE
    assert gateway.record(response)["outcome"] == "ok"


@pytest.mark.parametrize("stream_it", [False, True])
def test_an_error_beside_such_a_number_is_an_error(
    gateway: Gateway, student: ScriptedUpstream, stream_it: bool
) -> None:
    error = b'{"error": {"message": "died", "code": 503}, "more": NaN}'
    student.script(*(stream(b"data: " + error + b"\n\n") if stream_it else answer(error)))
    assert gateway.post(chat(stream=stream_it)).headers["x-breakeven-reason"] == "fallback"


def test_embeddings_with_such_numbers_pass(gateway: Gateway, student: ScriptedUpstream) -> None:
    vectors = {"object": "list", "data": [{"embedding": [math.nan, -math.inf, 0.5]}], "usage": {"prompt_tokens": 2}}
    student.script(*answer(json.dumps(vectors).encode()))
    response = gateway.post({"input": "hi"}, path="/v1/embeddings")
    assert (response.status, response.body) == (200, json.dumps(vectors).encode())
    assert gateway.record(response)["attempts"][0]["usage"]["prompt"] == 2


def test_an_answer_with_a_byte_order_mark_passes_as_sent(gateway: Gateway, student: ScriptedUpstream) -> None:
    data = b"\xef\xbb\xbf" + json.dumps(completion()).encode()
    student.script(*answer(data))
    response = gateway.post(chat())
    assert response.body == data
    assert gateway.record(response)["attempts"][0]["usage"]["output"] == 3


@pytest.mark.parametrize("body", [b'{"a": NaN', b'{"a": nan}', b'{"a": -NaN}', b"[NaN]", b"NaN"])
def test_what_is_no_object_even_so_is_a_failure(gateway: Gateway, student: ScriptedUpstream, body: bytes) -> None:
    student.script(*answer(body))
    assert gateway.post(chat()).headers["x-breakeven-reason"] == "fallback"


def test_an_error_status_without_a_readable_body_keeps_its_status(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*error_answer(422, "why"))
    assert gateway.post(chat()).error["message"] == "why"
    student.script(*answer(b"\x00\xff", 422))
    assert gateway.post(chat()).error["message"] == "The student answered with status 422."
