"""The server side of a connection: uvicorn's HTTP protocol, with a direct path for relayed requests.

Under ASGI an app awaits messages for the request body and for a disconnect, which takes an extra task per request and
several copies of the body. Here the protocol calls the relay directly and writes its output unchanged. All other
requests, and everything per connection (keep-alive, pipelining, graceful shutdown), are left to uvicorn; see decision
record 0048. This is the only module that uses uvicorn's internals; pyproject.toml bounds uvicorn's version for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from breakeven.gateway.errors import RequestError
from breakeven.gateway.proxy.downstream import Client, Reply

if TYPE_CHECKING:
    from breakeven.gateway.proxy.handler import Relay

_log = logging.getLogger("breakeven.protocol")

# The usual default limit of HTTP servers for a request line with its headers.
_MAX_HEAD_BYTES = 1 << 16
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in http.HTTPStatus}


class DirectClient(Client):
    """One relayed request on its connection. Has the attributes that uvicorn's protocol reads of its request cycle."""

    def __init__(self, protocol: RelayProtocol, relay: Relay, *, keep_alive: bool) -> None:
        super().__init__(protocol.headers)
        self.relay = relay
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.more_body = True
        self._protocol = protocol
        self._expects = protocol.expect_100_continue
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
        if self._limit is None:
            if self._size > HIGH_WATER_LIMIT:
                self._protocol.flow.pause_reading()
        elif self._size > self._limit:
            self._protocol.flow.pause_reading()
            self.set()

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
        self._head = self._response_head(status, headers, "transfer-encoding: chunked\r\n")

    async def write(self, body: bytes) -> None:
        protocol = self._protocol
        if protocol.flow.write_paused and not self.disconnected:
            await protocol.flow.drain()
        if body and not self.disconnected:
            head, self._head = self._head, b""
            protocol.transport.write(b"%b%x\r\n%b\r\n" % (head, len(body), body))

    def try_write(self, body: bytes) -> bool:
        protocol = self._protocol
        if protocol.flow.write_paused or self.disconnected or self._head:
            return False
        protocol.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
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
            last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
            protocol.transport.write(self._head + last)
        else:
            self.started = True
            head = self._response_head(reply.status, reply.headers, f"content-length: {len(body)}\r\n")
            protocol.transport.write(head + body)
        self.response_complete = True
        self._parts = []
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()

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
        elif not self.keep_alive:
            framing += "connection: close\r\n"
        line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
        server_headers = b"".join([b"%b: %b\r\n" % header for header in defaults])
        return line.encode() + server_headers + f"{text}{framing}\r\n".encode("latin-1", "replace")


class SignalFreeServer(uvicorn.Server):
    """uvicorn's server without its signal handlers, which would end the process by the signal instead of exit code 0.

    `gateway.server.run` installs its own.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class RelayProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol, in which relayed requests bypass ASGI and request heads have limits.

    A head that takes longer than `app.read_seconds` is answered with 408, one above 64 KiB with 431.
    """

    # Bytes received of the current request head, None between heads.
    _head_bytes: int | None = None
    _read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._start_read_timer()

    def data_received(self, data: bytes) -> None:
        in_head = self._head_bytes is not None
        super().data_received(data)
        # Most heads arrive in one segment and were already handled by the parser.
        if self._head_bytes is None:
            return
        if in_head:
            self._head_bytes += len(data)
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._reject(431)
        elif self._read_timer is None:
            self._start_read_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to log: a WebSocket is answered with 426."""

    def _start_read_timer(self) -> None:
        self._read_timer = self.loop.call_later(self.app.read_seconds, self._on_read_timeout)

    def _on_read_timeout(self) -> None:
        self._read_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # A pipelined request may take until the response before it is complete.
            self._start_read_timer()
        else:
            self._reject(408)

    def _reject(self, status: int) -> None:
        if self._head_bytes is not None and not self.transport.is_closing():
            self.transport.write(f"{_STATUS_LINES[status]}connection: close\r\ncontent-length: 0\r\n\r\n".encode())
        self.transport.close()

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
        relay = self.app.relays.get(self.url)
        if relay is None or self.parser.get_method() != b"POST":
            super().on_headers_complete()
            return
        before = self.cycle
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        client = DirectClient(self, relay, keep_alive=keep_alive)
        self.cycle = client  # type: ignore[assignment]
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        client = self.cycle
        if not isinstance(client, DirectClient):
            super().on_body(body)
        elif not client.response_complete:
            client.received(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
        open_cycles = [self.cycle, *(cycle for cycle, _ in self.pipeline)]
        super().connection_lost(exc)
        for client in open_cycles:
            if isinstance(client, DirectClient) and not client.response_complete:
                client.connection_lost()
        # The client refers to the protocol: a reference cycle that only the cyclic collector would free.
        self.cycle = None  # type: ignore[assignment]

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if not isinstance(cycle, DirectClient):
            super()._start_asgi_task(cycle, app)
            return
        task = self.loop.create_task(self._relay(cycle))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _relay(self, client: DirectClient) -> None:
        try:
            await client.relay.serve(client, "POST")
        except BaseException as error:  # as uvicorn does for any app
            _log.error("unhandled exception while serving a request: %s", type(error).__name__, exc_info=error)
            if not client.started:
                failed = RequestError(500, "The gateway failed.", type="server_error", code="gateway_error")
                await client.finish(client.relay.refusal(failed, {}))
        if not (client.response_complete or client.disconnected):
            self.transport.close()
