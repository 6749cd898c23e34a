"""The server side of a connection: uvicorn's HTTP protocol, with a direct path for relayed requests.

Under ASGI an app awaits messages for the request body and for a disconnect, which takes an extra task per request and
several copies of the body. Here the protocol calls the relay directly and writes its output unchanged. All other
requests, and everything per connection (keep-alive, pipelining, graceful shutdown), are left to uvicorn; see decision
record 0048. Besides `direct_client` this is the only module that uses uvicorn's internals; pyproject.toml bounds
uvicorn's version for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from breakeven.gateway.errors import RequestError
from breakeven.gateway.server.accepting import Acceptor
from breakeven.gateway.server.connections import Connections
from breakeven.gateway.server.direct_client import STATUS_LINES, CloseDelimited, DirectClient

_log = logging.getLogger("breakeven.protocol")

# The usual default limit of HTTP servers for a request line with its headers; also for the bytes between two parts of a
# body that are no content, such as extensions of chunks and trailers.
_MAX_HEAD_BYTES = 1 << 16
# How long the rest of a body is discarded after the response to it, so that the client gets to read the response: a
# connection that is closed with unread bytes is reset.
_LINGER_SECONDS = 2.0


class AcceptingServer(uvicorn.Server):
    """uvicorn's server, which accepts connections only while there is room, and has no signal handlers: they would end
    the process by the signal instead of exit code 0. `gateway.server.run` installs its own.
    """

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, and accept on the given sockets."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        acceptors = [Acceptor(one, protocol, self._connections, self.config.backlog) for one in sockets or []]
        self.servers = cast(list[asyncio.base_events.Server], acceptors)
        self.started = True


class RelayProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol, in which relayed requests bypass ASGI and request heads have limits.

    A head that takes longer than `app.head_seconds` is answered with 408, one above 64 KiB with 431. Trailers are
    discarded. After a response to a request whose body is not complete the connection is closed.
    """

    # Bytes received of the current request head, None between heads.
    _head_bytes: int | None = None
    _read_timer: asyncio.TimerHandle | None = None
    # Bytes received since the head of the current request or the last part of its body, None between bodies.
    _without_content: int | None = None
    _lingering: asyncio.TimerHandle | None = None
    # Whether the current head offers a protocol that is not spoken here, such as h2c.
    _offered = False
    # Whether nothing of what else arrives is read.
    _deaf = False
    # For `Connections`.
    silent = True
    peer = ""
    _idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.peer = self.client[0] if self.client else ""
        self._idle_since = time.monotonic()
        self.app.open_connections.opened(self)
        self._start_read_timer()

    @property
    def idle_since(self) -> float | None:
        """Since when no request is running on it, or waits; None while one does."""
        running = (self.cycle is not None and not self.cycle.response_complete) or self.pipeline
        return None if running else self._idle_since

    def leave(self) -> None:
        """Close it, since another connection needs its place."""
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._lingering is not None or self._deaf:
            return
        in_head = self._head_bytes is not None
        if self._without_content is not None:
            self._without_content += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._without_content is not None and self._without_content > _MAX_HEAD_BYTES:
            self.transport.close()
            return
        # Most heads arrive in one segment and were already handled by the parser.
        if self._head_bytes is None:
            return
        if in_head:
            self._head_bytes += len(data)
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._reject(431)
        elif self._read_timer is None:
            self._start_read_timer()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._offered:
                self._feed(self._without_offer() + data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if self._without_content is None and self.cycle is not None and not self.cycle.response_complete:
                # What comes behind a whole request does not take its response away; that is the last one.
                self._deaf, self.cycle.keep_alive = True, False
            else:
                self.send_400_response("Invalid HTTP request received.")

    def _without_offer(self) -> bytes:
        """The request head without its offer to go on with another protocol, which ends the parsing of HTTP."""
        self._offered = False
        self.parser = httptools.HttpRequestParser(self)
        kept = [line for line in self.headers if line[0] not in (b"upgrade", b"connection", b"http2-settings")]
        head = b"".join([b"%b: %b\r\n" % line for line in kept])
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (self.scope["method"].encode(), self.url, head)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0

    def _start_read_timer(self) -> None:
        self._read_timer = self.loop.call_later(self.app.head_seconds, self._on_read_timeout)

    def _on_read_timeout(self) -> None:
        self._read_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # A pipelined request may take until the response before it is complete.
            self._start_read_timer()
        else:
            self.app.open_connections.timed_out()
            self._reject(408)

    def _reject(self, status: int) -> None:
        if self._head_bytes is not None and not self.transport.is_closing():
            self.transport.write(f"{STATUS_LINES[status]}connection: close\r\ncontent-length: 0\r\n\r\n".encode())
        self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes behind a body is a trailer, which nothing here reads.
        if self._without_content is None:
            super().on_header(name, value)

    def on_message_complete(self) -> None:
        if self._offered or self.cycle is None:
            return
        self._without_content = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._idle_since = time.monotonic()
        if self._without_content is not None and self.cycle.response_complete:
            self._linger()
        else:
            super().on_response_complete()

    def _linger(self) -> None:
        """Close the connection once the client can have read the response; what else it sends is discarded."""
        if self.transport.is_closing():
            return
        self._lingering = self.loop.call_later(_LINGER_SECONDS, self.transport.close)
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        self._without_content = 0
        if self.silent:
            self.silent = False
            self.app.open_connections.spoke(self)
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
        version, method = self.parser.get_http_version(), self.parser.get_method()
        if self.parser.should_upgrade() and self._get_upgrade() != b"websocket":
            self.scope["method"], self._offered, self._without_content = method.decode("ascii"), True, None
            return
        hosts = sum([name == b"host" for name, _ in self.headers])
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            self.send_400_response("A request has exactly one Host header.")
            return
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or version == "1.0"):
            # A proxy before the gateway may go by another one of several, and take a part of the body for a request.
            self.send_400_response("The only Transfer-Encoding of a request is chunked, once, in HTTP/1.1.")
            return
        relay = self.app.relays.get(self.url)
        if relay is None or method != b"POST":
            super().on_headers_complete()
            return
        before = self.cycle
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        client = (CloseDelimited if version == "1.0" else DirectClient)(self, relay, keep_alive=keep_alive)
        self.cycle = client  # type: ignore[assignment]
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        self._without_content = 0
        client = self.cycle
        if not isinstance(client, DirectClient):
            super().on_body(body)
        elif not client.response_complete:
            client.received(body)

    def connection_lost(self, exc: Exception | None) -> None:
        self.app.open_connections.closed(self)
        for timer in (self._read_timer, self._lingering):
            if timer is not None:
                timer.cancel()
        open_cycles = [self.cycle, *(cycle for cycle, _ in self.pipeline)]
        super().connection_lost(exc)
        for client in open_cycles:
            if isinstance(client, DirectClient) and not client.response_complete:
                client.connection_lost()
                client.release()
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
        finally:
            client.release()
        if not (client.response_complete or client.disconnected):
            self.transport.close()
