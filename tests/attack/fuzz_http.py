"""Mutated HTTP through a running gateway, beside what h11 reads in the same bytes: clients' requests, and answers of an
upstream.
"""

from __future__ import annotations

import json
import random
import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import h11

from tests.attack.result import Attack, Result, Setting
from tests.contract.gateway import Gateway, chat, running

_PIECES = (
    b"", b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b";", b",", b"0", b"-1", b"+5", b"0x5", b"f" * 20,
    b"\xff", b"\r\n ", b"\r\n\r\n", b"0\r\n\r\n", b"content-length: 5\r\n", b"Content-Length: 0\r\n",
    b"transfer-encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n",
    b"transfer-encoding: gzip, chunked\r\n", b"connection: close\r\n", b"HTTP/1.0", b"HTTP/9.9",
    b"host: other\r\n", b"expect: 100-continue\r\n", b"upgrade: h2c\r\n", b"GET / HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n", b"content-encoding: gzip\r\n", b"5;ext=\"x\r\n", b"x: y\r\n",
)  # fmt: skip
# RFC 9112 lets a server take more spaces in a request line, and empty lines before it; h11 does not.
_EMPTY_LINES = re.compile(rb"(?:\A|(?<=0\r\n\r\n)|(?<=\}))[\r\n]+(?=[A-Z]+ +/)")
_SPACED_LINE = re.compile(rb"^([A-Z]+) +(\S+) +HTTP/", re.MULTILINE)
_TRIES_OF_OTHERS = 50
_MOST_BYTES = 1 << 20


def mutate(data: bytes, rng: random.Random) -> bytes:
    """The bytes with some of their pieces replaced, repeated or left out, in most cases only in the head."""
    within = len(data) if rng.random() < 0.3 else data.index(b"\r\n\r\n")
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(within + 1)
        to = min(len(data), at + rng.choice((0, 0, 1, 2, 9)))
        data = data[:at] + (rng.choice(_PIECES) if rng.random() < 0.8 else data[at:to] * 3) + data[to:]
    return data


def h11_bodies(our_role: type[h11.CLIENT] | type[h11.SERVER], data: bytes) -> tuple[list[bytes], bool]:
    """The bodies of the messages that h11 reads to their ends, and whether it took all bytes for well-formed."""
    connection = h11.Connection(our_role, max_incomplete_event_size=_MOST_BYTES)
    if our_role is h11.CLIENT:
        connection.send(h11.Request(method="POST", target="/", headers=[("host", "upstream"), ("content-length", "0")]))
        connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    found: list[bytes] = []
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                found.append(body)
                body = b""
                if our_role is h11.CLIENT:
                    return found, True
                # As a server that answers.
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return found, True
                connection.start_next_cycle()
            elif event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return found, not body
    except h11.ProtocolError:
        return found, False


def requests(setting: Setting) -> Result:
    """Mutated requests: none reaches an upstream that h11 does not read, and others are served between them."""
    seed, end = time.time_ns() % 1_000_000, time.monotonic() + setting.seconds
    rng, counts = random.Random(seed), {"sent": 0, "passed on": 0}
    with running(setting.folder, log_level="warning") as gateway:
        while time.monotonic() < end:
            mark = f"{counts['sent']:08d}".encode()
            data = mutate(_plain_requests(rng, mark.decode()), rng)
            answer = _exchange(gateway.port, data)
            # One whose client was reset may come late.
            passed = [request.body for request in gateway.student.received if mark in request.body]
            gateway.student.clear()
            read, well_formed = h11_bodies(h11.SERVER, _for_h11(data))
            if wrong := _wrong_request(passed, read, well_formed, answer):
                raise AssertionError(f"{wrong}: seed {seed}, {data!r} -> {answer[:200]!r}")
            counts["sent"] += 1
            counts["passed on"] += len(passed)
            if counts["sent"] % _TRIES_OF_OTHERS == 0:
                assert gateway.post(chat("somebody else")).status == 200
        _said_nothing(gateway)
    return Result("server-fuzz", True, {**{name: f"{n:,}" for name, n in counts.items()}, "seed": str(seed)})


def _for_h11(data: bytes) -> bytes:
    return _SPACED_LINE.sub(rb"\1 \2 HTTP/", _EMPTY_LINES.sub(b"", data))


def _plain_requests(rng: random.Random, mark: str) -> bytes:
    data = b""
    for number in range(rng.choice((1, 1, 2))):
        body = json.dumps(chat(f"{mark}: {number}")).encode()
        line = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        if rng.random() < 0.5:
            data += line + b"content-length: %d\r\n\r\n" % len(body) + body
        else:
            at = rng.randrange(1, len(body))
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:at], body[at:]))
            data += line + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    return data


def _exchange(port: int, data: bytes) -> bytes:
    """What is answered to these bytes and the end behind them."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(1 << 16):
                found += part
        except (ConnectionResetError, BrokenPipeError):
            pass
    return found


def _wrong_request(passed: list[bytes], read: list[bytes], well_formed: bool, answer: bytes) -> str | None:
    if b"HTTP/1.1 500" in answer or b"Traceback" in answer:
        return "an internal error"
    # Where h11 gives up, a request that it had begun to read may be one to another reader; none may follow it.
    if len(passed) > len(read) + (not well_formed):
        return f"{len(passed)} requests where h11 reads {len(read)}"
    messages = [json.loads(body)["messages"] for body in passed[: len(read)]]
    texts = [body for body in read if _messages(body) is not None]
    if any(found not in [_messages(body) for body in texts] for found in messages):
        return f"other messages than h11 reads: {read!r}"
    return None


def _messages(body: bytes) -> object:
    try:
        return json.loads(body)["messages"]
    except (ValueError, KeyError, TypeError):
        return None


def _said_nothing(gateway: Gateway) -> None:
    assert b"Traceback" not in gateway.log.read_bytes(), "there is a traceback in the log"


@dataclass
class _Answers:
    """What the raw upstream says next, and the marks of the plain answers that it gave."""

    next: bytes | None = None
    plain: list[str] = field(default_factory=list)


@contextmanager
def _raw_upstream(answers: _Answers) -> Iterator[int]:
    """An upstream that answers each request with `answers.next`, then closes, or without it plainly; its port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                length = 0
                while (header := self.rfile.readline()).strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                self.rfile.read(length)
                # The gateway asks for the models as well.
                if not line.startswith(b"POST"):
                    self.wfile.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                    continue
                mutated, answers.next = answers.next, None
                self.wfile.write(_plain_answer(answers) if mutated is None else mutated)
                if mutated is not None:
                    return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def _plain_answer(answers: _Answers) -> bytes:
    answers.plain.append(f"plain {len(answers.plain)}")
    return _framed(_completion(answers.plain[-1]), chunked=False)


def _framed(body: bytes, *, chunked: bool) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    if not chunked:
        return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:20], body[20:]))
    return head + b"transfer-encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


def responses(setting: Setting) -> Result:
    """Mutated answers of an upstream: what h11 reads or an error, and the next request gets its own answer."""
    seed, end = time.time_ns() % 1_000_000, time.monotonic() + setting.seconds
    rng, counts, answers = random.Random(seed), {"answers": 0, "passed on": 0, "refused": 0}, _Answers()
    with _raw_upstream(answers) as port:
        changes = {"student": {"base_url": f"http://127.0.0.1:{port}/v1"}}
        with running(setting.folder, changes, log_level="critical") as gateway:
            while time.monotonic() < end:
                data = mutate(_framed(_completion(f"mutated {rng.randrange(100)}"), chunked=rng.random() < 0.5), rng)
                answers.next = data
                found = gateway.post(chat(model="student"))
                read, _ = h11_bodies(h11.CLIENT, data)
                if found.status == 500 or (found.status == 200 and read and not _same(found.body, read[0])):
                    raise AssertionError(f"seed {seed}, {data!r}: {found.status} {found.body[:300]!r}, h11 {read!r}")
                counts["answers"] += 1
                counts["passed on" if found.status == 200 else "refused"] += 1
                answers.next = None
                own = gateway.post(chat(model="student"))
                text = own.json["choices"][0]["message"]["content"] if own.status == 200 else own.body
                if text != (answers.plain or [""])[-1]:
                    raise AssertionError(f"seed {seed}, after {data!r} the next request gets {text!r}")
            _said_nothing(gateway)
    return Result("client-fuzz", True, {**{name: f"{n:,}" for name, n in counts.items()}, "seed": str(seed)})


def _same(ours: bytes, theirs: bytes) -> bool:
    """Whether it is the same answer, or an error of ours about one that could not be read."""
    return ours == theirs or b'"error"' in ours


ATTACKS: dict[str, Attack] = {"server-fuzz": requests, "client-fuzz": responses}
