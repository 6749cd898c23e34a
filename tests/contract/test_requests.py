"""Requests: what is refused and what goes upstream as it came; headers and keys that never do."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import STUDENT_KEY, TEACHER_KEY, Gateway, chat
from tests.contract.scripted import (
    DONE,
    End,
    Head,
    Raw,
    ScriptedUpstream,
    Send,
    answer,
    completion,
    delta,
    error_answer,
    stream,
    usage_chunk,
)

CONFIG = {
    "server": {"max_body_bytes": 3_000_000},
    "student": {"modalities": ["text"]},
    "teacher": {"max_tokens_field": "max_completion_tokens"},
}
FINISH = delta("", finish="stop")
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"[]", b'"text"', b"1", b"null", b"{", b'{"a":1}x', b'{"messages":NaN}', b'{"temperature":NaN}',
        b'{"x":Infinity}', b'{"x":"\xff"}', b'{"x":"\xc3"}', b'{"x":' + DEEP + b"}", b'{"messages":' + DEEP + b"}",
        b'{"messages":[{"role":"user","content":' + DEEP + b"}]}",
        b'{"model":"auto","model":"teacher","messages":[{"role":"user","content":"hi"}]}',
        b'{"messages":[],"messages":[{"role":"user","content":"hi"}]}',
    ],
    ids=range(18),
)  # fmt: skip
def test_bodies_that_are_no_json_object_are_400_and_nothing_goes_upstream(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream, body: bytes
) -> None:
    response = gateway.post(body)
    assert response.status == 400
    assert response.error["type"] == "invalid_request_error"
    assert not student.received
    assert not teacher.received


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"), ({"messages": []}, "messages"), ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"), ({"stream": "maybe"}, "stream"), ({"stream": 2}, "stream"),
        ({"stream": []}, "stream"), ({"stream_options": []}, "stream_options"), ({"model": 7}, "model"),
        ({"model": "auto@2"}, "model"), ({"model": "auto@nan"}, "model"),
    ],
)  # fmt: skip
def test_wrong_types_are_400_and_name_the_field(
    gateway: Gateway, student: ScriptedUpstream, fields: dict[str, Any], param: str
) -> None:
    response = gateway.post({**chat(), **fields})
    assert response.status == 400
    assert response.error["param"] == param
    assert not student.received


def test_unknown_model_is_404_and_does_not_echo_it(gateway: Gateway) -> None:
    response = gateway.post(chat(model="gpt-canary"))
    assert response.error["code"] == "model_not_found"
    assert response.status == 404
    assert b"canary" not in response.body


def test_all_but_the_model_reaches_the_upstream_as_sent(gateway: Gateway, student: ScriptedUpstream) -> None:
    parts = (
        b'{ "zeta" : 1.0 , "model" : "auto", "tiny":1e-7,"big": 123456789012345678901234567890,\n'
        b'"messages":[{"role":"user","content":"\\u00e9\\/\\n \xc3\xa9", "unknown":{"b":1,"a":2.50}}],"alpha":null}'
    )
    gateway.post(parts)
    assert student.last.body == (
        b'{"zeta":1.0,"model":"small","tiny":1e-7,"big":123456789012345678901234567890,'
        b'"messages":[{"role":"user","content":"\\u00e9\\/\\n \xc3\xa9", "unknown":{"b":1,"a":2.50}}],"alpha":null}'
    )
    assert student.last.headers["content-length"] == str(len(student.last.body))
    exact = parts.replace(b'"auto"', b'"small"')
    gateway.post(exact)
    assert student.last.body == exact


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": None}, {"role": "user"}, {"role": "user", "content": ""},
        {"role": "user", "content": []}, {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "user", "content": [{"type": "text"}, {"type": 7}, "odd", None, {}]}, {"role": "user", "content": 7},
        {"role": "tool", "tool_call_id": "x", "content": "5"}, {"role": "developer", "content": "be brief"},
        {"role": "assistant", "content": None, "tool_calls": None}, {"role": None}, {}, {"role": ["x"]},
        {"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{"}}]},
        {"role": "assistant", "tool_calls": [None, 7, {"function": None}]}, {"role": "assistant", "tool_calls": "x"},
        {"role": "user", "content": "\x00\ufffe \U0001f600" * 1000},
    ],
    ids=range(17),
)  # fmt: skip
def test_messages_of_any_shape_never_crash_the_router_and_go_through_as_sent(
    gateway: Gateway, student: ScriptedUpstream, message: dict[str, Any]
) -> None:
    body = json.dumps({"model": "small", "messages": [message], "tool_calls": None}).encode()
    assert gateway.post(body).status == 200
    assert student.last.body == body
    routed = json.dumps({"messages": [message]}).encode()
    response = gateway.post(routed)
    assert response.status == 200
    assert response.headers["x-breakeven-reason"] in ("easy", "tools", "modality")


def test_images_as_data_urls_pass_and_never_go_to_a_text_only_student(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    url = "data:image/png;base64," + "A" * 2_900_000
    content = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "auto", "messages": [{"role": "user", "content": content}]}
    response = gateway.post(body)
    assert response.headers["x-breakeven-reason"] == "modality"
    assert teacher.last.json["messages"] == body["messages"]
    teacher.script(*error_answer(500))
    assert gateway.post(body).status == 500
    assert not student.received


def test_over_the_limit_is_413_with_content_length(gateway: Gateway, student: ScriptedUpstream) -> None:
    with gateway.connect() as client:
        client.request("POST", "/v1/chat/completions", b"{", {"content-length": "3000001"})
        response = client.response()
    assert (response.status, response.error["code"]) == (413, "request_too_large")
    assert not student.received


def test_over_the_limit_is_413_chunked(gateway: Gateway, student: ScriptedUpstream) -> None:
    chunk = b"x" * 100_000
    with gateway.connect() as client:
        client.request("POST", "/v1/chat/completions", b"", {"transfer-encoding": "chunked"})
        client.send(b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for _ in range(31)))
        response = client.response()
    assert (response.status, response.error["code"]) == (413, "request_too_large")
    assert not student.received


def test_a_chunked_body_is_read(gateway: Gateway, student: ScriptedUpstream) -> None:
    data = json.dumps(chat(model="small")).encode()
    with gateway.connect() as client:
        client.request("POST", "/v1/chat/completions", b"", {"transfer-encoding": "chunked"})
        for byte in data:
            client.send(b"1\r\n%c\r\n" % byte)
        client.send(b"0\r\n\r\n")
        assert client.response().status == 200
    assert student.last.body == data
    assert "transfer-encoding" not in student.last.headers


def test_both_content_length_and_transfer_encoding_is_a_400(gateway: Gateway, student: ScriptedUpstream) -> None:
    with gateway.connect() as client:
        headers = {"transfer-encoding": "chunked", "content-length": "5"}
        client.request("POST", "/v1/chat/completions", b"0\r\n\r\n", headers)
        assert client.head()[0] == 400
    assert not student.received


@pytest.mark.parametrize(
    "given", [{"max_tokens": 5}, {"max_completion_tokens": 5}, {"max_tokens": 9, "max_completion_tokens": 5}]
)
def test_output_limits_are_renamed_per_upstream_and_never_both_sent(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream, given: dict[str, int]
) -> None:
    limits = ("max_tokens", "max_completion_tokens")
    gateway.post(chat(model="teacher", **given))
    assert {k: v for k, v in teacher.last.json.items() if k in limits} == {"max_completion_tokens": 5}
    gateway.post(chat(model="student", **given))
    sent = {k: v for k, v in student.last.json.items() if k in limits}
    assert sent == (given if len(given) == 1 else {"max_completion_tokens": 5})


def test_the_legacy_endpoint_keeps_its_only_spelling(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    gateway.post({"model": "teacher", "prompt": "hi", "max_tokens": 5}, path="/v1/completions")
    assert teacher.last.json["max_tokens"] == 5


def test_hop_by_hop_headers_cookies_and_keys_never_reach_an_upstream(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    headers = {
        "authorization": "Bearer client-canary", "x-api-key": "canary", "api-key": "canary", "cookie": "s=canary",
        "connection": "keep-alive, x-hop", "x-hop": "canary", "te": "trailers", "upgrade": "canary",
        "proxy-authorization": "Basic canary", "x-forwarded-for": "1.2.3.4", "openai-organization": "canary",
        "x-breakeven-fallback": "true", "accept-encoding": "gzip, br", "user-agent": "canary",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }  # fmt: skip
    gateway.post(chat(), headers)
    gateway.post(chat(model="teacher"), headers)
    allowed = {
        "host", "accept", "accept-encoding", "user-agent", "authorization", "content-type", "content-length",
        "x-request-id", "traceparent",
    }  # fmt: skip
    for upstream, key in ((student, STUDENT_KEY), (teacher, TEACHER_KEY)):
        assert set(upstream.last.names) <= allowed
        assert "canary" not in " ".join(v for k, v in upstream.last.headers.items() if k != "authorization")
        assert upstream.last.headers["authorization"] == f"Bearer {key}"
        assert upstream.last.headers["accept-encoding"] == "identity"
        assert upstream.last.headers["traceparent"] == headers["traceparent"]


def test_addresses_and_keys_in_the_body_are_not_honoured(gateway: Gateway, student: ScriptedUpstream) -> None:
    fields = {"api_key": "sk-canary", "api_base": "http://127.0.0.1:1/v1", "base_url": "http://127.0.0.1:1/v1"}
    assert gateway.post(chat(**fields)).status == 200
    assert not set(fields) & set(student.last.json)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("stream_it", [False, True])
def test_upstream_401_and_403_become_502_without_a_word_on_key_or_address(
    gateway: Gateway, student: ScriptedUpstream, status: int, stream_it: bool
) -> None:
    student.script(*error_answer(status, f"Incorrect API key {STUDENT_KEY} at {student.url}", www_authenticate="x"))
    response = gateway.post(chat(stream=stream_it))
    assert response.status == 502
    assert response.error["code"] == "upstream_auth"
    assert STUDENT_KEY.encode() not in response.body
    assert str(student.port).encode() not in response.body
    assert "www-authenticate" not in response.headers


def test_an_upstream_that_tells_its_key_or_address_in_an_error_is_cut_short(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    student.script(*error_answer(400, f"bad key {STUDENT_KEY} at {student.url}/chat on 127.0.0.1:{student.port}"))
    response = gateway.post(chat())
    assert response.status == 400
    assert STUDENT_KEY.encode() not in response.body
    assert str(student.port).encode() not in response.body


@pytest.mark.parametrize("stream_it", [False, True])
def test_gzip_of_an_upstream_is_decoded_so_that_usage_is_seen(
    gateway: Gateway, student: ScriptedUpstream, stream_it: bool
) -> None:
    if stream_it:
        plain = delta("né") + FINISH + usage_chunk() + DONE
        packed = gzip.compress(plain)
        head = Head(200, {"content-type": "text/event-stream", "content-encoding": "gzip"})
        student.script(head, *(Send(packed[i : i + 5]) for i in range(0, len(packed), 5)), End())
    else:
        packed = gzip.compress(json.dumps(completion()).encode())
        student.script(*answer(packed, 200, content_encoding="gzip"))
    response = gateway.post(chat(stream=stream_it))
    assert "content-encoding" not in response.headers
    assert response.body == delta("né") + FINISH + DONE if stream_it else response.json == completion()
    assert gateway.record(response)["attempts"][0]["usage"]["output"] == 3


def test_damaged_gzip_is_a_failure(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*answer(b"not gzip at all", 200, content_encoding="gzip"))
    assert gateway.post(chat()).headers["x-breakeven-reason"] == "fallback"


def test_a_close_delimited_answer_is_read_to_its_end(gateway: Gateway, student: ScriptedUpstream) -> None:
    data = json.dumps(completion()).encode()
    student.script(Head(200, {"content-type": "application/json"}, close_delimited=True), Raw(data))
    assert gateway.post(chat()).body == data


def test_request_id_is_echoed_and_sent_upstream_if_valid_else_replaced(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    response = gateway.post(chat(), {"x-request-id": "my-id_1.2:3"})
    assert response.headers["x-request-id"] == response.headers["x-breakeven-request-id"] == "my-id_1.2:3"
    assert student.last.headers["x-request-id"] == "my-id_1.2:3"
    for bad in ("a b", "x" * 129, "é", "{}", ""):
        response = gateway.post(chat(), {"x-request-id": bad})
        assert response.headers["x-request-id"] != bad
        assert len(response.headers["x-request-id"]) == 32
        assert student.last.headers["x-request-id"] == response.headers["x-request-id"]
    assert gateway.post(b"", {"x-request-id": "on-errors-too"}).headers["x-request-id"] == "on-errors-too"


def test_the_same_request_id_twice_is_two_requests_in_the_ledger(gateway: Gateway) -> None:
    for _ in range(2):
        gateway.post(chat(), {"x-request-id": "twice"})
    assert gateway.rows("select count(*) from requests where request_id = 'twice'") == [(2,)]


def test_no_cors_by_default(gateway: Gateway) -> None:
    response = gateway.post(chat(), {"origin": "https://evil.example"})
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_canaries_never_appear_in_log_metrics_or_traceback(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    def say(upstream: ScriptedUpstream) -> None:
        upstream.script(*error_answer(500, "canary-upstream-text"))

    calls = [{"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"q":"canary-arguments"}'}}]
    messages = [
        {"role": "user", "content": "canary-prompt"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "canary-tool"},
    ]
    headers = {"authorization": "Bearer canary-key", "x-api-key": "canary-key", "cookie": "canary-cookie"}
    path = "/v1/chat/completions?q=canary-query"
    for streamed in (False, True):
        body = {"messages": messages, "user": "canary-user", "stream": streamed}
        gateway.post(body, headers, path)
        say(student)
        say(teacher)
        gateway.post(body, headers, path)
        student.script(*stream(b'data: {"error":{"message":"canary-upstream-text"}}\n\n'))
        gateway.post({**body, "model": "student"}, headers, path)
        student.script(*stream(delta("canary-answer"), b'data: {"error":{"message":"canary-upstream-text"}}\n\n'))
        gateway.post({**body, "model": "student"}, headers, path)
        student.script(Raw(b"canary-upstream-text\r\n\r\n"))
        gateway.post({**body, "model": "student"}, headers, path)
    gateway.post({"messages": messages, "model": "canary-model"}, headers, path)
    gateway.post(b'{"messages": "canary-prompt', headers, path)
    gateway.post({"messages": ["canary-prompt"], "canary-field": 1}, headers, path)
    gateway.get("/canary-path?canary-query", headers)
    with gateway.connect() as client:
        client.send(b"canary-nonsense\r\n\r\n")
        client.head()
    metrics = gateway.get("/metrics").body
    eventually(lambda: len(gateway.settled()) > 10)
    assert b"canary" not in metrics
    assert b"canary" not in gateway.log.read_bytes()
    assert STUDENT_KEY.encode() not in gateway.log.read_bytes() + metrics


def test_one_json_log_line_per_request_from_the_settled_record(gateway: Gateway) -> None:
    before = len(gateway.settled())
    response = gateway.post(chat())
    gateway.post(b"")
    eventually(lambda: len(gateway.settled()) == before + 2)
    for line in gateway.log.read_text().splitlines()[1:]:
        json.loads(line)
    record = gateway.record(response)
    assert record["status"] == 200
    assert record["endpoint"] == "chat_completions"
    assert record["attempts"][0]["usage"] == {"prompt": 10, "cached": 0, "output": 3, "complete": True}
