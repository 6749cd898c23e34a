"""Clients that speak HTTP in other ways than most: each gets its answer, or is told what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import DONE, End, Head, Send, delta

BODY = json.dumps(chat()).encode()
STREAMED = json.dumps(chat(stream=True)).encode()
LINE = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway")) as running_gateway:
        yield running_gateway


def head(line: bytes, body: bytes, *more: bytes) -> bytes:
    return line + b"".join(one + b"\r\n" for one in more) + b"content-length: %d\r\n\r\n" % len(body) + body


OFFERS = {
    # As Java's HttpClient and `curl --http2` send it.
    "h2c": (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAMAAABkAARAAAAAAAIAAAAA"),
    "TLS": (b"connection: upgrade", b"upgrade: TLS/1.2"),
    "unknown": (b"connection: keep-alive, Upgrade", b"upgrade: foo"),
}


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("cut", [None, 20, 120, -3])
def test_an_offer_of_another_protocol_is_ignored(gateway: Gateway, offer: str, cut: int | None) -> None:
    data = head(LINE, BODY, *OFFERS[offer])
    with gateway.connect() as client:
        for _ in range(2):
            if cut is None:
                client.send(data)
            else:
                client.send(data[:cut])
                gateway.get("/healthz")
                client.send(data[cut:])
            assert client.response().status == 200
    assert json.loads(gateway.student.received[-1].body)["messages"] == chat()["messages"]


def test_an_offer_with_a_chunked_body_and_at_other_paths(gateway: Gateway) -> None:
    offer = b"connection: upgrade\r\nupgrade: h2c\r\n"
    with gateway.connect() as client:
        client.send(LINE + offer + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
        assert client.response().status == 200
        client.send(b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\n" + offer + b"\r\n")
        assert client.response().json["object"] == "list"


def test_http_1_0_gets_no_chunks(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(head(b"POST /v1/chat/completions HTTP/1.0\r\n", STREAMED))
        status, headers = client.head()
        assert status == 200
        assert "transfer-encoding" not in headers
        assert headers["connection"] == "close"
        body = client._buffer
        while data := client.socket.recv(65536):
            body += data
        assert body.startswith(b"data: {")
        assert body.endswith(DONE)


@pytest.mark.parametrize("behind", [b"garbage\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n"])
def test_bytes_behind_a_request_do_not_take_its_answer_away(gateway: Gateway, behind: bytes) -> None:
    with gateway.connect() as client:
        client.send(head(LINE, BODY) + behind)
        answer = client.response()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        with pytest.raises((EOFError, ConnectionError)):
            client.head()


@pytest.mark.parametrize("hosts", [(), (b"host: a", b"host: b"), (b"host: a", b"host: a")])
@pytest.mark.parametrize("path", [b"POST /v1/chat/completions", b"GET /healthz"])
def test_a_request_has_exactly_one_host(gateway: Gateway, hosts: tuple[bytes, ...], path: bytes) -> None:
    with gateway.connect() as client:
        client.send(head(path + b" HTTP/1.1\r\n", BODY, *hosts))
        assert client.response().status == 400


@pytest.mark.parametrize("text", [b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80"])
@pytest.mark.parametrize("endpoint", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_bytes_of_an_upstream_that_are_no_utf_8(gateway: Gateway, text: bytes, endpoint: str, stream: bool) -> None:
    answer = (
        b'{"id": "r", "object": "response", "status": "completed", "type": "message", "role": "assistant", '
        b'"choices": [{"index": 0, "text": "%b", "message": {"content": "%b"}, "finish_reason": "stop"}], '
        b'"content": [{"type": "text", "text": "%b"}], "output": [], '
        b'"usage": {"prompt_tokens": 3, "completion_tokens": 2, "input_tokens": 3, "output_tokens": 2}}'
    ) % (text, text, text)
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}, "text": "%b"}]}\n\n' % (text, text)
    for upstream in (gateway.student, gateway.teacher):
        if stream:
            last = delta("", finish="stop") + DONE
            upstream.script(Head(200, {"content-type": "text/event-stream"}), Send(event + last), End())
        else:
            upstream.script(Head(200, {"content-type": "application/json"}), Send(answer), End())
    asked = {"/v1/completions": {"prompt": "hi"}, "/v1/responses": {"input": "hi"}}.get(
        endpoint, {"messages": chat()["messages"], "max_tokens": 9}
    )
    got = gateway.post({"model": "auto", "stream": stream, **asked}, path=endpoint)
    assert got.status in (200, 502), got.body
    if endpoint == "/v1/chat/completions":
        assert got.status == 200
        assert text in got.body
    assert "unhandled exception" not in gateway.log.read_text()


@pytest.mark.parametrize("path", [LINE, b"POST /v1/embeddings HTTP/1.1\r\nhost: gateway\r\n"])
@pytest.mark.parametrize(
    "codings",
    [
        (b"identity", b"chunked"), (b"chunked", b"chunked"), (b"chunked", b"identity"), (b"identity",),
        (b"gzip, chunked",), (b"chunked, identity",), (b"xchunked",), (b"",), (b'chunked;a="b"',), (b"chunked\t",),
    ],
)  # fmt: skip
def test_a_body_in_any_other_transfer_encoding_is_refused(
    gateway: Gateway, path: bytes, codings: tuple[bytes, ...]
) -> None:
    before = len(gateway.student.received)
    lines = b"".join(b"transfer-encoding: %b\r\n" % coding for coding in codings)
    with gateway.connect() as client:
        client.send(path + lines + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
        answer = client.response()
        assert answer.status == 400
        assert answer.headers["connection"] == "close"
    assert len(gateway.student.received) == before


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"  CHUNKED"])
def test_chunks_are_taken_in_any_spelling_but_not_in_http_1_0(gateway: Gateway, coding: bytes) -> None:
    chunks = b"transfer-encoding: %b\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (coding, len(BODY), BODY)
    with gateway.connect() as client:
        client.send(LINE + chunks)
        assert client.response().status == 200
    with gateway.connect() as client:
        client.send(LINE.replace(b"HTTP/1.1", b"HTTP/1.0") + chunks)
        status, headers = client.head()
        assert (status, headers["connection"]) == (400, "close")
