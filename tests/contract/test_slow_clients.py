"""Clients that send slowly, without an end, or nothing: they hold a connection for so long and no longer."""

from __future__ import annotations

import json
import socket
import time

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import DONE, End, Head, ScriptedUpstream, Send, Sleep, delta

CONFIG = {"server": {"head_seconds": 0.6, "read_seconds": 0.6}}
BODY = json.dumps(chat()).encode()
LINE = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n"
HEAD = LINE + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)


def test_a_body_that_does_not_arrive_is_a_408(gateway: Gateway, student: ScriptedUpstream) -> None:
    with gateway.connect() as client:
        started = time.monotonic()
        client.send(HEAD + BODY[:10])
        response = client.response()
        assert (response.status, response.error["code"]) == (408, "request_timeout")
        assert response.error["type"] == "invalid_request_error"
        assert 0.5 < time.monotonic() - started < 5
        with pytest.raises(EOFError):
            client.head()
    assert not student.received


def test_a_body_for_one_of_our_own_endpoints(gateway: Gateway) -> None:
    body = b'{"request_id": "none", "score": 1}'
    head = {"content-length": str(len(body)), "content-type": "application/json"}
    with gateway.connect() as client:
        client.request("POST", "/v1/feedback", b"", head)
        client.send(body[:5])
        time.sleep(0.2)
        client.send(body[5:])
        assert client.response().status == 404
    with gateway.connect() as client:
        client.request("POST", "/v1/feedback", b"", head)
        client.send(body[:5])
        response = client.response()
        assert (response.status, response.error["code"]) == (408, "request_timeout")


def test_a_slow_body_that_arrives_in_time_is_answered(gateway: Gateway, student: ScriptedUpstream) -> None:
    with gateway.connect() as client:
        client.send(HEAD)
        for part in (BODY[:7], BODY[7:20], BODY[20:]):
            time.sleep(0.1)
            client.send(part)
        assert client.response().status == 200
    assert student.last.body


def test_a_head_that_does_not_end_is_a_408(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(LINE)
        started = time.monotonic()
        # A byte now and then does not keep it.
        for _ in range(40):
            try:
                client.send(b"x")
            except OSError:
                break
            time.sleep(0.05)
        assert client.head()[0] == 408
        assert time.monotonic() - started < 5


def test_a_head_that_does_not_end_on_a_connection_that_was_used(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(HEAD + BODY)
        assert client.response().status == 200
        client.send(LINE)
        assert client.head()[0] == 408


def test_a_connection_on_which_nothing_comes_is_closed(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.socket.settimeout(5)
        assert client.socket.recv(1) == b""


def test_a_head_without_an_end_is_a_431(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(LINE)
        time.sleep(0.1)
        for number in range(3000):
            try:
                client.send(b"x-%d: %b\r\n" % (number, b"y" * 100))
            except OSError:
                break
        assert client.head()[0] == 431


def test_a_large_body_in_pieces_counts_to_no_head(gateway: Gateway) -> None:
    # Two requests in one piece, of which the second one's head ends in another piece.
    large = json.dumps(chat("x" * 300_000)).encode()
    first = LINE + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(large)
    with gateway.connect() as client:
        client.send(first + large + HEAD[:20])
        assert client.response().status == 200
        client.send(HEAD[20:] + BODY)
        assert client.response().status == 200


def test_a_stream_outlasts_it_with_half_a_head_behind_it(gateway: Gateway, student: ScriptedUpstream) -> None:
    events = [step for _ in range(6) for step in (Send(delta("a")), Sleep(0.25))]
    student.default(Head(headers={"content-type": "text/event-stream"}), *events, Send(DONE), End())
    body = json.dumps(chat(stream=True)).encode()
    head = LINE + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    with gateway.connect() as client:
        client.send(head + body + HEAD[:30])
        response = client.response()
        assert response.status == 200
        assert response.events[-1] == b"data: [DONE]\n\n"
        # Then its time begins.
        assert client.head()[0] == 408


def test_nobody_is_left(gateway: Gateway) -> None:
    clients = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(20)]
    whole = HEAD + BODY
    for number, client in enumerate(clients):
        client.sendall(whole[: number * (len(whole) - 1) // 19])
    try:
        assert eventually(lambda: all(_closed(client) for client in clients))
    finally:
        for client in clients:
            client.close()
    assert gateway.post(chat()).status == 200


def _closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1 << 16) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
