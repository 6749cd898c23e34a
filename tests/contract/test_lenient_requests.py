"""Requests that the upstreams take are taken: other spellings, null, a byte order mark, compressed bodies."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.client import Response
from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import DONE, USAGE, ScriptedUpstream, answer, completion, delta, event, stream, usage_chunk
from tests.support.encodings import ENCODINGS

LIMIT = 200_000
CONFIG = {
    "server": {"max_body_bytes": LIMIT},
    "student": {"context_window": 1000},
    "teacher": {"max_tokens_field": "max_completion_tokens"},
}
CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"
MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}
ASKED: dict[str, dict[str, Any]] = {
    CHAT: MESSAGES, COMPLETIONS: {"prompt": "hi"}, RESPONSES: {"input": "hi"}, EMBEDDINGS: {"input": "hi"},
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    CHAT: completion(),
    COMPLETIONS: {"object": "text_completion", "choices": [], "usage": USAGE},
    RESPONSES: {"id": "r", "object": "response", "output": [], "usage": None},
    EMBEDDINGS: {"object": "list", "data": [], "usage": {"prompt_tokens": 1, "total_tokens": 1}},
}
FINISH = delta("", finish="stop")
STREAM = delta("a") + FINISH
TYPED = b"".join(
    event({"type": kind, **more})
    for kind, more in (
        ("response.output_text.delta", {"delta": "a"}),
        ("response.completed", {"response": {"id": "r", "usage": None}}),
    )
)
STREAMS = {
    CHAT: STREAM,
    COMPLETIONS: event({"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]}),
    RESPONSES: TYPED,
}


def post(gateway: Gateway, path: str, *, model: str = "auto", **fields: Any) -> Response:
    return gateway.post({"model": model, **ASKED[path], **fields}, path=path)


LIMITS = [
    (path, name)
    for path, names in {
        CHAT: ["max_tokens", "max_completion_tokens"], COMPLETIONS: ["max_tokens"], RESPONSES: ["max_output_tokens"],
    }.items()
    for name in names
]  # fmt: skip


@pytest.mark.parametrize("value", [16, 16.0, "16", "16.0", " 16 ", "+16", "0_16", 1e1])
@pytest.mark.parametrize(("path", "name"), LIMITS)
def test_output_limits_in_other_spellings_are_relayed_as_sent(
    gateway: Gateway, student: ScriptedUpstream, path: str, name: str, value: object
) -> None:
    student.script(*answer(ANSWERS[path]))
    response = post(gateway, path, **{name: value})
    assert (response.status, response.headers["x-breakeven-reason"]) == (200, "easy")
    assert json.dumps(student.last.json[name]) == json.dumps(value)


@pytest.mark.parametrize("value", [5000, 5000.0, "5000", "5_000"])
@pytest.mark.parametrize(("path", "name"), LIMITS)
def test_output_limits_in_other_spellings_count_for_the_context_window(
    gateway: Gateway, teacher: ScriptedUpstream, path: str, name: str, value: object
) -> None:
    teacher.script(*answer(ANSWERS[path]))
    assert post(gateway, path, **{name: value}).headers["x-breakeven-reason"] == "context"


@pytest.mark.parametrize("value", ["many", 1.5, [], {}, "", "1e3", True, "9" * 5000, -1, 0])
@pytest.mark.parametrize(("path", "name"), [*LIMITS, (CHAT, "n"), (COMPLETIONS, "n")])
def test_what_no_integer_is_in_a_relayed_field_is_the_upstreams_to_judge(
    gateway: Gateway, student: ScriptedUpstream, path: str, name: str, value: object
) -> None:
    student.script(*answer(ANSWERS[path]))
    assert post(gateway, path, **{name: value}).status == 200
    assert student.last.json[name] == value


def test_a_number_beyond_every_range_is_relayed(gateway: Gateway, student: ScriptedUpstream) -> None:
    body = b'{"model":"small","messages":[{"role":"user","content":"hi"}],"n":1e999,"max_tokens":%s}' % (b"9" * 500)
    assert gateway.post(body).status == 200
    assert student.last.body == body


@pytest.mark.parametrize("n", [2, 2.0, "2", "2.0"])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_the_number_of_choices_in_other_spellings_counts(
    gateway: Gateway, student: ScriptedUpstream, path: str, n: object
) -> None:
    def finish(index: int) -> bytes:
        return event({"choices": [{"index": index, "text": "a", "delta": {"content": "a"}, "finish_reason": "stop"}]})

    student.script(*stream(finish(0)))
    assert post(gateway, path, n=n, stream=True).last_error["code"] == "stream_truncated"
    student.script(*stream(finish(1) + finish(0)))
    assert post(gateway, path, n=n, stream=True).body == finish(1) + finish(0) + DONE


@pytest.mark.parametrize("prompt", [[1.0, 2.0, 3.0], [1, 2, 3]])
def test_token_ids_may_be_written_as_floats(gateway: Gateway, student: ScriptedUpstream, prompt: list[float]) -> None:
    student.script(*stream(STREAMS[COMPLETIONS]))
    assert post(gateway, COMPLETIONS, prompt=prompt, stream=True).body == STREAMS[COMPLETIONS] + DONE
    assert student.last.json["prompt"] == prompt


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "True", "yes", "on", "1", "t", "Y"])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES])
def test_stream_in_other_spellings_streams(
    gateway: Gateway, student: ScriptedUpstream, path: str, value: object
) -> None:
    end = b"" if path == RESPONSES else DONE
    usage = b"" if path == RESPONSES else usage_chunk()
    student.script(*stream(STREAMS[path], usage + end)) if end else student.script(*stream(STREAMS[path]))
    response = post(gateway, path, stream=value)
    assert response.body == STREAMS[path] + end
    assert student.last.json["stream"] == value
    assert student.last.headers["accept"] == "text/event-stream"
    if path != RESPONSES:
        assert student.last.json["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("value", [False, None, 0, 0.0, "false", "FALSE", "no", "off", "0", "f", "n"])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES])
def test_not_to_stream_in_other_spellings(
    gateway: Gateway, student: ScriptedUpstream, path: str, value: object
) -> None:
    student.script(*answer(ANSWERS[path]))
    assert post(gateway, path, stream=value).json == ANSWERS[path]
    assert student.last.json["stream"] == value
    assert "stream_options" not in student.last.json


@pytest.mark.parametrize(("value", "wanted"), [(1, True), ("true", True), ("yes", True), (0, False), ("no", False)])
def test_include_usage_in_other_spellings(
    gateway: Gateway, student: ScriptedUpstream, value: object, wanted: bool
) -> None:
    student.script(*stream(STREAM, usage_chunk(), DONE))
    response = post(gateway, CHAT, stream=True, stream_options={"include_usage": value})
    assert response.body == STREAM + (usage_chunk() if wanted else b"") + DONE


NULLS = {
    CHAT: [
        "model",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "stream",
        "stream_options",
        "tools",
        "temperature",
        "stop",
    ],
    COMPLETIONS: ["model", "n", "max_tokens", "stream", "stream_options", "logprobs", "suffix"],
    RESPONSES: ["model", "input", "instructions", "max_output_tokens", "previous_response_id", "stream", "tools"],
    EMBEDDINGS: ["model", "encoding_format", "dimensions", "stream"],
}


@pytest.mark.parametrize("stream_it", [False, True])
@pytest.mark.parametrize("path", NULLS)
def test_null_is_absent_in_every_field(gateway: Gateway, student: ScriptedUpstream, path: str, stream_it: bool) -> None:
    student.script(*(stream(STREAMS[path], DONE) if stream_it and path in STREAMS else answer(ANSWERS[path])))
    fields = {**dict.fromkeys(NULLS[path]), **({"stream": True} if stream_it else {})}
    response = gateway.post({**ASKED[path], **fields}, path=path)
    assert response.status == 200
    assert response.headers["x-breakeven-route"] == "student"
    sent = student.last.json
    given = {name for name in fields if name not in ("model", "stream", "stream_options", "max_tokens")}
    assert {name: sent[name] for name in given} == {name: fields[name] for name in given}


def test_a_null_beside_the_output_limit_does_not_remove_it(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    for fields, kept in (
        ({"max_tokens": 5, "max_completion_tokens": None}, {"max_tokens": 5}),
        ({"max_tokens": None, "max_completion_tokens": 5}, {"max_completion_tokens": 5}),
    ):
        post(gateway, CHAT, model="student", **fields)
        assert {k: v for k, v in student.last.json.items() if k.startswith("max_")} == kept
        post(gateway, CHAT, model="teacher", **fields)
        assert {k: v for k, v in teacher.last.json.items() if k.startswith("max_")} == {"max_completion_tokens": 5}


@pytest.mark.parametrize("path", ASKED)
def test_a_byte_order_mark_is_taken_off(gateway: Gateway, student: ScriptedUpstream, path: str) -> None:
    student.script(*answer(ANSWERS[path]))
    body = json.dumps({"model": "small", **ASKED[path]}).encode()
    assert gateway.post(b"\xef\xbb\xbf" + body, path=path).status == 200
    assert student.last.body == body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (EMBEDDINGS, {"messages": [{"role": "user", "content": "hi"}]}),
        (EMBEDDINGS, {"input": None, "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}),
        (EMBEDDINGS, {"input": [[1, 2], [3]]}),
        (COMPLETIONS, {"prompt_embeds": "QUJD"}),
        (COMPLETIONS, {"prompt": None, "prompt_embeds": ["QUJD"]}),
        (COMPLETIONS, {"prompt": ""}),
        (CHAT, {**MESSAGES, "temperature": "0.5", "top_p": "1", "logprobs": "true", "seed": 1.0, "stop": None}),
        (CHAT, {**MESSAGES, "tools": [], "tool_choice": "none", "response_format": 7, "user": None}),
        (RESPONSES, {"input": "hi", "store": "no", "temperature": "1", "metadata": None, "background": 0}),
    ],
)
def test_what_vllm_takes_is_relayed(
    gateway: Gateway, student: ScriptedUpstream, path: str, body: dict[str, Any]
) -> None:
    student.script(*answer(ANSWERS[path]))
    assert gateway.post(body, path=path).status == 200
    assert student.last.json == {**body, "model": "small"}


def packed(gateway: Gateway, encoding: str, body: bytes, path: str = CHAT) -> Response:
    named, pack = ENCODINGS[encoding]
    return gateway.post(pack(body), {"content-encoding": named}, path)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("path", ASKED)
def test_a_compressed_body_is_decoded(gateway: Gateway, student: ScriptedUpstream, path: str, encoding: str) -> None:
    student.script(*answer(ANSWERS[path]))
    body = json.dumps({"model": "small", **ASKED[path]}).encode()
    assert packed(gateway, encoding, body, path).status == 200
    assert student.last.body == body
    assert "content-encoding" not in student.last.headers


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name != "identity"])
def test_a_compressed_body_is_limited_by_its_decoded_size(
    gateway: Gateway, student: ScriptedUpstream, encoding: str
) -> None:
    body = json.dumps(chat(model="small", user="x" * 190_000)).encode()
    body += b" " * (LIMIT - len(body))
    assert packed(gateway, encoding, body).status == 200
    received = len(student.received)
    response = packed(gateway, encoding, body + b" ")
    assert (response.status, response.error["code"]) == (413, "request_too_large")
    assert len(student.received) == received


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "two layers"])
def test_a_bomb_is_refused_without_unpacking_it(gateway: Gateway, student: ScriptedUpstream, encoding: str) -> None:
    size = 64 << 20 if encoding != "two layers" else 16 << 20
    named, pack = ENCODINGS[encoding]
    bomb = pack(bytes(size))
    assert len(bomb) < LIMIT
    before, started = gateway.memory(), time.monotonic()
    response = gateway.post(bomb, {"content-encoding": named})
    assert (response.status, response.error["code"]) == (413, "request_too_large")
    assert time.monotonic() - started < 2
    assert gateway.memory() - before < 16 << 20
    assert not student.received


def test_the_connection_may_be_used_again_after_a_decoded_body_was_too_large(gateway: Gateway) -> None:
    with gateway.connect() as client:
        for _ in range(2):
            client.request("POST", CHAT, gzip.compress(bytes(LIMIT + 1)), {"content-encoding": "gzip"})
            assert client.response().status == 413
        client.request("POST", CHAT, json.dumps(chat()).encode())
        assert client.response().status == 200


@pytest.mark.parametrize("encoding", ["compress", "gzip, what", "aws-chunked", "gzip;q=1"])
@pytest.mark.parametrize("path", ASKED)
def test_an_unknown_encoding_is_415_and_says_which_are_known(
    gateway: Gateway, student: ScriptedUpstream, path: str, encoding: str
) -> None:
    response = gateway.post(b"x", {"content-encoding": encoding}, path)
    assert (response.status, response.error["code"]) == (415, "unsupported_encoding")
    assert response.headers["accept-encoding"] == "gzip, deflate, br, zstd"
    assert not student.received


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "none", "binary", ""])
@pytest.mark.parametrize("path", ASKED)
def test_what_names_no_encoding_of_a_body_is_ignored(
    gateway: Gateway, student: ScriptedUpstream, path: str, encoding: str
) -> None:
    student.script(*answer(ANSWERS[path]))
    body = json.dumps({"model": "small", **ASKED[path]}).encode()
    assert gateway.post(body, {"content-encoding": encoding}, path).status == 200
    assert student.last.body == body


CUT: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-5],
    "damaged": lambda data: b"\xff" + data[1:],
    "not compressed": lambda _: json.dumps(chat()).encode(),
    "followed by something": lambda data: data + b"more",
}


@pytest.mark.parametrize("fault", CUT)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_that_is_not_in_its_encoding_is_400(
    gateway: Gateway, student: ScriptedUpstream, encoding: str, fault: str
) -> None:
    named, pack = ENCODINGS[encoding]
    response = gateway.post(CUT[fault](pack(json.dumps(chat()).encode())), {"content-encoding": named})
    assert (response.status, response.error["code"]) == (400, "invalid_encoding")
    assert not student.received


def test_a_compressed_body_that_is_no_json_is_400(gateway: Gateway) -> None:
    for body in (b"", b"[]", b"{"):
        assert packed(gateway, "gzip", body).error["code"] == "invalid_json"


def test_a_compressed_body_in_chunks(gateway: Gateway, student: ScriptedUpstream) -> None:
    data = gzip.compress(json.dumps(chat(model="small")).encode())
    with gateway.connect() as client:
        client.request("POST", CHAT, b"", {"transfer-encoding": "chunked", "content-encoding": "gzip"})
        for byte in data:
            client.send(b"1\r\n%c\r\n" % byte)
        client.send(b"0\r\n\r\n")
        assert client.response().status == 200
    assert student.last.json == chat(model="small")
