"""Peers that send more than they may: nothing that they command is kept, and nobody waits for them."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.client import RawClient, eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import DONE, End, Flood, Head, Raw, Send, Step, completion, delta

SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
FINISH = delta("", finish="stop")
MB = 1 << 20
# What a process may gain by a peer, beyond what that peer is allowed to upload.
MOST_BYTES = 32 * MB
CHUNKED = b"host: gateway\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway"), log_level="warning") as running_gateway:
        assert running_gateway.post(chat()).status == 200
        yield running_gateway


class Watched:
    """The highest memory of a gateway, and how long its other clients wait, while the context is open."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._before = gateway.memory()
        self.gained = 0
        self.waits: list[float] = []

    def _watch(self) -> None:
        while not self._ended.is_set():
            started = time.monotonic()
            assert self._gateway.get("/healthz").status == 200
            self.waits.append(time.monotonic() - started)
            self.gained = max(self.gained, self._gateway.memory() - self._before)
            time.sleep(0.005)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def poured(client: RawClient, piece: bytes, total: int) -> int:
    """Send `piece` over and over, `total` bytes or until the other side closes; how many bytes were sent."""
    sent = 0
    try:
        while sent < total:
            client.send(piece)
            sent += len(piece)
    except OSError:
        pass
    return sent


@pytest.mark.parametrize("path", ["/healthz", "/v1/chat/completions", "/v1/models", "/metrics", "/nothing"])
def test_trailers_are_not_kept(gateway: Gateway, path: str) -> None:
    trailers = b"".join(b"x-%06d: %s\r\n" % (number, b"v" * 50) for number in range(1000))
    with Watched(gateway) as seen, gateway.connect() as client:
        client.send(b"POST " + path.encode() + b" HTTP/1.1\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\n")
        poured(client, trailers, 20 * MB)
        client.socket.settimeout(10)
        # Whatever was answered, the connection ends.
        with contextlib.suppress(ConnectionError):
            while client.socket.recv(65536):
                pass
    assert seen.gained < MOST_BYTES


def test_a_trailer_of_a_normal_size_is_ignored(gateway: Gateway) -> None:
    body = json.dumps(chat()).encode()
    with gateway.connect() as client:
        for _ in range(2):
            client.send(b"POST /v1/chat/completions HTTP/1.1\r\n" + CHUNKED + b"%x\r\n%s\r\n0\r\n" % (len(body), body))
            client.send(b"x-checksum: 1\r\nauthorization: Bearer other\r\n\r\n")
            assert client.response().status == 200


def test_extensions_of_chunks_are_not_kept(gateway: Gateway) -> None:
    with Watched(gateway) as seen, gateway.connect() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\n" + CHUNKED + b"2;")
        sent = poured(client, b"e" * 65536, 20 * MB)
    assert sent < 20 * MB
    assert seen.gained < MOST_BYTES


def test_after_a_refusal_the_rest_of_a_body_is_not_waited_for(tmp_path: Path) -> None:
    keys = {"auth": {"keys": [{"name": "one", "sha256": "a" * 64}]}}
    with running(tmp_path, keys) as gateway:
        for path in ("/v1/chat/completions", "/v1/feedback", "/admin/policy", "/nothing"):
            with gateway.connect() as client:
                client.send(b"POST " + path.encode() + b" HTTP/1.1\r\n" + CHUNKED + b"5\r\n{\r\n")
                status, headers = client.head()
                list(client.segments(headers))
                assert status in (401, 404, 405), path
                started = time.monotonic()
                with pytest.raises((EOFError, ConnectionError)):
                    client.head()
                assert time.monotonic() - started < 10


def test_a_refusal_reaches_a_client_that_is_still_sending(gateway: Gateway) -> None:
    large = b"x" * MB
    with gateway.connect() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: 100000000\r\n\r\n")
        sender = threading.Thread(target=poured, args=(client, large, 40 * MB))
        sender.start()
        status, headers = client.head()
        assert (status, headers["connection"]) == (413, "close")
        assert b"max_body_bytes" in b"".join(client.segments(headers))
        sender.join()


def test_the_bodies_of_all_requests_have_a_limit_together(tmp_path: Path) -> None:
    with running(tmp_path, {"server": {"max_bodies_bytes": 3 * MB, "read_seconds": 20}}) as gateway:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: 2000000\r\n\r\n"
        with gateway.connect() as first, gateway.connect() as second:
            for client in (first, second):
                client.send(head + b" " * 1_900_000)
            refused = second.response()
            assert (refused.status, refused.error["code"]) == (503, "bodies_full")
            # A body that has wholly arrived is answered whatever the others have.
            assert gateway.post(chat()).status == 200
        eventually(lambda: gateway.post(chat("x" * 1_000_000)).status == 200)


# What an upstream sends without an end, and whether the client asked for a stream.
ENDLESS: dict[str, tuple[dict[str, str], bytes, bool]] = {
    "a JSON answer": (JSON, b'{"choices": [{"text": "' + b"x" * 65536, False),
    "an event": (SSE, b"data: " + b"x" * 65536, True),
    "a preamble": ({"content-type": "text/plain"}, b" " * 65536, True),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_upstream_without_an_end(gateway: Gateway, kind: str) -> None:
    headers, piece, stream = ENDLESS[kind]
    for upstream in (gateway.student, gateway.teacher):
        upstream.script(Head(200, headers), Send(piece), Flood(b"y" * 65536, 100 * MB))
    with Watched(gateway) as seen:
        answer = gateway.post(chat(stream=stream))
    assert answer.status == 502
    assert seen.gained < MOST_BYTES


def test_trailers_of_an_upstream_are_not_kept(gateway: Gateway) -> None:
    body = json.dumps(completion("hi")).encode()
    trailers = b"".join(b"x-%06d: %s\r\n" % (number, b"v" * 50) for number in range(1000))
    steps: list[Step] = [Head(200, JSON), Send(body), Raw(b"0\r\n"), *(Raw(trailers) for _ in range(300))]
    gateway.student.script(*steps, End())
    with Watched(gateway) as seen:
        answer = gateway.post(chat())
    assert answer.status in (200, 502)
    assert seen.gained < MOST_BYTES


def test_long_ids_of_responses_are_not_remembered(gateway: Gateway) -> None:
    answer = {"id": "resp_" + "x" * MB, "object": "response", "output": [], "status": "completed"}
    before = gateway.memory()
    for _ in range(60):
        gateway.student.script(Head(200, JSON), Send(json.dumps(answer).encode()), End())
        assert gateway.post({"model": "student", "input": "hi"}, path="/v1/responses").status == 200
    assert gateway.memory() - before < MOST_BYTES


def hard_bodies() -> dict[str, bytes]:
    return {
        "messages": b'{"model": "auto", "messages": [' + b"{}," * 10_000_000 + b"{}]}",
        "keys": b'{"model": "auto", ' + b", ".join(b'"k%d": 1' % number for number in range(2_000_000)) + b"}",
        "token ids": b'{"model": "auto", "prompt": [' + b"12345, " * 4_000_000 + b"1]}",
        "depth": b'{"model": "auto", "messages": ' + b"[" * 30_000_000 + b"}",
    }


@pytest.mark.parametrize("kind", list(hard_bodies()))
def test_a_body_of_too_many_values_is_refused_and_nobody_waits(gateway: Gateway, kind: str) -> None:
    body = hard_bodies()[kind]
    with Watched(gateway) as seen:
        answer = gateway.post(body, path="/v1/completions" if kind == "token ids" else "/v1/chat/completions")
    assert (answer.status, answer.error["code"]) == (400, "too_many_values")
    assert "max_body_values" in answer.error["message"]
    # The same machine runs the client; alone nobody waits for a twentieth of a second.
    assert max(seen.waits) < 2.0
    assert statistics.median(seen.waits) < 0.2


FLOODS: dict[str, bytes] = {"blank lines": b"\n" * MB, "comments": b":\n\n" * 350_000, "deltas": delta("a") * 6000}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_stream_of_many_events_lets_others_have_their_turn(gateway: Gateway, kind: str) -> None:
    gateway.student.script(Head(200, SSE), Send(delta("1")), Send(FLOODS[kind]), Send(FINISH + DONE), End())
    with Watched(gateway) as seen:
        answer = gateway.post(chat(stream=True))
    assert answer.status == 200
    assert answer.body.endswith(DONE)
    assert answer.body.count(b"\n") >= FLOODS[kind].count(b"\n"), "something is missing"
    assert max(seen.waits) < 2.0


def test_a_client_that_says_nothing_keeps_nothing(gateway: Gateway) -> None:
    before = gateway.memory()
    sockets: list[socket.socket] = []
    try:
        for _ in range(200):
            connection = socket.create_connection(("127.0.0.1", gateway.port))
            connection.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: 1000000\r\n\r\n"
            )
            sockets.append(connection)
        assert gateway.post(chat()).status == 200
        assert gateway.memory() - before < MOST_BYTES
    finally:
        for connection in sockets:
            connection.close()
