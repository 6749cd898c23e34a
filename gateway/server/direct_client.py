"""A relayed request on its connection, which is read and answered without ASGI messages; see `protocol`."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from breakeven.gateway.errors import bodies_full
from breakeven.gateway.proxy.downstream import Client, Reply

if TYPE_CHECKING:
    from breakeven.gateway.proxy.handler import Relay
    from breakeven.gateway.server.protocol import RelayProtocol

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in http.HTTPStatus}


@dataclass
class BodyBytes:
    """The bytes of all request bodies that are held, `used`, and how many there may be, `most`."""

    most: int
    used: int = 0


class DirectClient(Client):
    """One relayed request on its connection. Has the attributes that uvicorn's protocol reads of its request cycle."""

    _framing, _end = "transfer-encoding: chunked\r\n", b"0\r\n\r\n"

    def __init__(self, protocol: RelayProtocol, relay: Relay, *, keep_alive: bool) -> None:
        super().__init__(protocol.headers)
        self.relay = relay
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.more_body = True
        self._protocol = protocol
        self._expects = protocol.expect_100_continue
        self._bodies = protocol.app.bodies
        self._parts: list[bytes] = []
        self._size = 0
        self._limit: int | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._head = b""

    @property
    def message_event(self) -> DirectClient:
        """The event that uvicorn sets when more of the body has arrived or the connection is lost: this object.

        As an attribute it would be a reference cycle, so that every request left garbage for the cyclic collector,
        which pauses the process for milliseconds.
        """
        return self

    def set(self) -> None:
        """Wake `read_body`, which checks again whether the body is complete or the connection lost."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def received(self, part: bytes) -> None:
        """Append a part of the request body, and stop reading from the socket where too much is buffered."""
        self._parts.append(part)
        self._size += len(part)
        self._bodies.used += len(part)
        if self._limit is None:
            if self._size > HIGH_WATER_LIMIT:
                self._protocol.flow.pause_reading()
        elif self._size > self._limit or self._bodies.used > self._bodies.most:
            self._protocol.flow.pause_reading()
            self.set()

    def release(self) -> None:
        """The request has ended, and its body counts no longer. Safe to call again."""
        self._bodies.used -= self._size
        self._size = 0

    def connection_lost(self) -> None:
        """Mark the client as disconnected and cancel the task that serves it."""
        self.gone = self.disconnected = True
        self.set()
        if self._task is not None:
            self._task.cancel()

    def _body_received(self) -> bool:
        return not self.more_body

    async def _body(self, limit: int) -> bytes | None:
        self._limit = limit
        if self._expects and self.more_body:
            self._expects = False
            self._protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while self.more_body and self._size <= limit and not self.disconnected:
            if self._bodies.used > self._bodies.most:
                raise bodies_full()
            self._protocol.flow.resume_reading()
            self._waiter = self._protocol.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._size > limit:
            return None
        if self.more_body:
            self.gone = True
            raise asyncio.CancelledError
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def watch(self) -> None:
        if self.disconnected:
            self.gone = True
            raise asyncio.CancelledError
        self._task = asyncio.current_task()

    async def unwatch(self) -> None:
        self._task = None

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        # Sent with the first part of the body: one system call instead of two.
        self.started = True
        self._head = self._response_head(status, headers, self._framing)

    async def write(self, body: bytes) -> None:
        protocol = self._protocol
        if protocol.flow.write_paused and not self.disconnected:
            await protocol.flow.drain()
        if body and not self.disconnected:
            head, self._head = self._head, b""
            protocol.transport.write(head + self._framed(body))

    def try_write(self, body: bytes) -> bool:
        protocol = self._protocol
        if protocol.flow.write_paused or self.disconnected or self._head:
            return False
        protocol.transport.write(self._framed(body))
        return True

    async def finish(self, reply: Reply) -> None:
        protocol, body = self._protocol, reply.body
        if protocol.flow.write_paused and not self.disconnected:
            await protocol.flow.drain()
        if self.disconnected:
            return
        if reply.cut_off:
            protocol.transport.close()
        elif self.started:
            protocol.transport.write(self._head + (self._framed(body) if body else b"") + self._end)
        else:
            self.started = True
            head = self._response_head(reply.status, reply.headers, f"content-length: {len(body)}\r\n")
            protocol.transport.write(head + body)
        self.response_complete = True
        self._parts = []
        if not (self.keep_alive or self.more_body):
            protocol.transport.close()
        protocol.on_response_complete()

    def _framed(self, part: bytes) -> bytes:
        """A part of a streamed body as it is sent."""
        return b"%x\r\n%b\r\n" % (len(part), part)

    def _response_head(self, status: int, headers: Mapping[str, str], framing: str) -> bytes:
        """Status line and headers, with `framing` as the last header line.

        Raises ValueError for a header value with a line break or NUL in it (response splitting).
        """
        defaults = self._protocol.server_state.default_headers
        text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if text.count("\r") != len(headers) or text.count("\n") != len(headers) or "\0" in text:
            raise ValueError("line break or NUL in a header")
        if headers.get("connection") == "close":
            self.keep_alive = False
        elif self.more_body or not self.keep_alive:
            # The rest of a body that is not complete is never read.
            framing += "connection: close\r\n"
        line = STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
        server_headers = b"".join([b"%b: %b\r\n" % header for header in defaults])
        return line.encode() + server_headers + f"{text}{framing}\r\n".encode("latin-1", "replace")


class CloseDelimited(DirectClient):
    """A client of HTTP/1.0, which knows no chunks: a streamed body ends with the connection."""

    _framing, _end = "", b""

    def _framed(self, part: bytes) -> bytes:
        return part
