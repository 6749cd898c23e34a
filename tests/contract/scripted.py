"""A raw-socket scripted upstream: it plays steps, byte for byte, and records what it got.

    upstream.script(Head(200, {"content-type": "text/event-stream"}), Send(b"data: x\n\n"), Reset())

Each request takes the script whose marker its body holds, else the next one of the queue, else the default
answer. GETs (/v1/models, but not of stored responses) and /tokenize are answered beside the scripts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Head:
    """Status line and headers. Without content-length the body is chunked, unless `close_delimited`."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    close_delimited: bool = False


@dataclass(frozen=True)
class Send:
    """Bytes of the body, as one segment."""

    data: bytes


@dataclass(frozen=True)
class Raw:
    """Bytes on the socket, framed by nobody."""

    data: bytes


@dataclass(frozen=True)
class Flood:
    """`total` bytes of the body in segments of `segment`, as fast as the reader takes them."""

    segment: bytes
    total: int


@dataclass(frozen=True)
class Sleep:
    seconds: float


@dataclass(frozen=True)
class End:
    """The end of a chunked body; the connection stays."""


@dataclass(frozen=True)
class Close:
    """A clean end of the connection."""


@dataclass(frozen=True)
class Reset:
    """The connection is reset."""


@dataclass(frozen=True)
class ExpectDisconnect:
    """Wait until the other side has closed."""

    seconds: float = 5.0


Step = Head | Send | Raw | Flood | Sleep | End | Close | Reset | ExpectDisconnect


@dataclass
class Received:
    """One request as it arrived. `disconnected_after`: seconds from its arrival, None where nobody looked."""

    method: str
    path: str
    headers: dict[str, str]
    names: list[str]
    body: bytes
    at: float
    sent: int = 0
    disconnected_after: float | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def delta(text: str = "a", index: int = 0, finish: str | None = None, **fields: Any) -> bytes:
    """One chat chunk as an event."""
    choice = {"index": index, "delta": {"content": text, **fields} if text else {**fields}, "finish_reason": finish}
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def usage_chunk(usage: object = None) -> bytes:
    value = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
    return event({**value, "usage": USAGE if usage is None else usage})


DONE = b"data: [DONE]\n\n"


def stream(*segments: bytes, pause: float = 0.0) -> list[Step]:
    """A whole SSE answer with a clean end, one segment each."""
    steps: list[Step] = [Head(200, {"content-type": "text/event-stream"})]
    for segment in segments:
        steps.append(Send(segment))
        if pause:
            steps.append(Sleep(pause))
    return [*steps, End()]


def answer(value: object, status: int = 200, **headers: str) -> list[Step]:
    """A whole JSON answer."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return [Head(status, {"content-type": "application/json", "content-length": str(len(data)), **named}), Raw(data)]


def completion(text: str = "hello", usage: object = None, **fields: Any) -> dict[str, Any]:
    """A chat completion; `usage=False` leaves it out."""
    message = {"role": "assistant", "content": text}
    value = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE if usage is None else usage,
        **fields,
    }
    if usage is False:
        del value["usage"]
    return value


def error_answer(status: int, message: str = "no", **headers: str) -> list[Step]:
    """An OpenAI-shaped error."""
    fields = {"message": message, "type": "some_error", "param": None, "code": None}
    return answer({"error": fields}, status, **headers)


class ScriptedUpstream:
    """Listens on a free port of 127.0.0.1, in a thread of its own."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.received: list[Received] = []
        # Who /v1/models says that the model is owned by.
        self.owner: str | None = None
        # What /tokenize answers, and what it was asked.
        self.tokenizer: Callable[[Any], Sequence[Step]] | None = None
        self.tokenized: list[Received] = []
        self.gets: list[Received] = []
        # The status for the empty request by which the gateway finds out whether there is /v1/messages.
        self.messages_status = 404
        self.open_connections = 0
        self.accepted = 0
        self._scripts: deque[Sequence[Step]] = deque()
        self._marked: dict[bytes, Sequence[Step]] = {}
        self._default: Sequence[Step] | None = None
        self._models: Sequence[Step] | None = None
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = self._socket.getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> ScriptedUpstream:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *steps: Step) -> None:
        """What the next request without a marker gets."""
        with self._lock:
            self._scripts.append(steps)

    def on(self, marker: str, *steps: Step) -> None:
        """What every request whose body holds the marker gets."""
        with self._lock:
            self._marked[marker.encode()] = steps

    def default(self, *steps: Step) -> None:
        """What requests get that nothing else is meant for."""
        self._default = steps or None

    def models(self, *steps: Step) -> None:
        """What every GET gets, such as that of /v1/models."""
        self._models = steps

    def clear(self) -> None:
        """Forget scripts and what was received."""
        with self._lock:
            self._scripts.clear()
            self._marked.clear()
            self._default = None
            self.received = []
            self.tokenizer, self.tokenized = None, []

    @property
    def last(self) -> Received:
        return self.received[-1]

    def wait_for(self, count: int, seconds: float = 5.0) -> list[Received]:
        """Until that many requests were received."""
        end = time.monotonic() + seconds
        while len(self.received) < count and time.monotonic() < end:
            time.sleep(0.005)
        assert len(self.received) >= count, f"{len(self.received)} requests at {self.model}, expected {count}"
        return self.received

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        accepting = self._loop.create_task(self._accept())
        self._loop.run_forever()
        for task in {accepting, *self._tasks}:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(accepting, *self._tasks, return_exceptions=True))
        self._loop.close()
        self._socket.close()

    def _stop(self) -> None:
        self._loop.stop()

    async def _accept(self) -> None:
        self._socket.setblocking(False)
        while True:
            connection, _ = await self._loop.sock_accept(self._socket)
            self.accepted += 1
            task = self._loop.create_task(self._connection(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connection(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open_connections += 1
        buffer = b""
        try:
            while True:
                request, buffer = await self._request(connection, buffer)
                if request is None or not await self._play(connection, request):
                    return
        except (ConnectionError, OSError):
            return
        finally:
            self.open_connections -= 1
            connection.close()

    async def _request(self, connection: socket.socket, buffer: bytes) -> tuple[Received | None, bytes]:
        while b"\r\n\r\n" not in buffer:
            data = await self._loop.sock_recv(connection, 65536)
            if not data:
                return None, b""
            buffer += data
        head, _, rest = buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        pairs = [line.partition(":")[::2] for line in lines]
        headers = {name.lower(): value.strip() for name, value in pairs}
        parts, got = [rest], len(rest)
        length = int(headers.get("content-length", "0"))
        while got < length:
            data = await self._loop.sock_recv(connection, 1 << 20)
            if not data:
                return None, b""
            parts.append(data)
            got += len(data)
        body = b"".join(parts)
        names = [name.lower() for name, _ in pairs]
        return Received(method, path, headers, names, body[:length], time.monotonic()), body[length:]

    def _steps(self, request: Received) -> Sequence[Step]:
        if request.method == "GET" and "/responses/" not in request.path:
            self.gets.append(request)
            owner = {} if self.owner is None else {"owned_by": self.owner}
            models = {"object": "list", "data": [{"id": self.model, "object": "model", **owner}]}
            return self._models or answer(models)
        if request.path == "/v1/messages" and request.body == b"{}":
            return answer({"detail": "incomplete, or no such path"}, self.messages_status)
        if request.path == "/tokenize":
            self.tokenized.append(request)
            return self.tokenizer(request.json) if self.tokenizer else answer({"detail": "Not Found"}, 404)
        with self._lock:
            self.received.append(request)
            for marker, steps in self._marked.items():
                if marker in request.body:
                    return steps
            if self._scripts:
                return self._scripts.popleft()
        if self._default is not None:
            return self._default
        if b'"stream":true' in request.body.replace(b" ", b""):
            return stream(delta("he"), delta("llo"), delta("", finish="stop"), usage_chunk(), DONE)
        return answer(completion())

    async def _play(self, connection: socket.socket, request: Received) -> bool:
        """Whether the connection may be used again."""
        chunked, keep = False, True
        for step in self._steps(request):
            if isinstance(step, Head):
                chunked = "content-length" not in step.headers and not step.close_delimited
                keep = not step.close_delimited
                lines = [f"HTTP/1.1 {step.status} X", *(f"{name}: {value}" for name, value in step.headers.items())]
                lines += ["transfer-encoding: chunked"] if chunked else []
                await self._loop.sock_sendall(connection, "\r\n".join([*lines, "", ""]).encode())
            elif isinstance(step, Send):
                await self._send(connection, request, step.data, chunked)
            elif isinstance(step, Raw):
                await self._loop.sock_sendall(connection, step.data)
                request.sent += len(step.data)
            elif isinstance(step, Flood):
                for _ in range(step.total // len(step.segment)):
                    await self._send(connection, request, step.segment, chunked)
            elif isinstance(step, Sleep):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, End):
                await self._loop.sock_sendall(connection, b"0\r\n\r\n")
            elif isinstance(step, Close):
                return False
            elif isinstance(step, Reset):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            else:
                with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
                    async with asyncio.timeout(step.seconds):
                        while await self._loop.sock_recv(connection, 4096):
                            pass
                    request.disconnected_after = time.monotonic() - request.at
                return False
        return keep

    async def _send(self, connection: socket.socket, request: Received, data: bytes, chunked: bool) -> None:
        framed = b"%x\r\n%b\r\n" % (len(data), data) if chunked else data
        try:
            await self._loop.sock_sendall(connection, framed)
        except ConnectionError:
            request.disconnected_after = time.monotonic() - request.at
            raise
        request.sent += len(data)
