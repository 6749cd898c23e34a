"""One HTTP/1.1 connection to an upstream: bytes out, a parsed answer in.

The parser is httptools (llhttp, Node's), the one that uvicorn reads requests with. What a general client adds, such
as cookies, redirects, proxies and a URL and a header object for each request, a gateway to one known server has no
use for and pays for with every request; see docs/decisions/0047.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

# A head above this is no head of an OpenAI server's answer.
_HEAD_BYTES = 1 << 16
# While this much waits to be read, the upstream is not read on.
_HIGH_BYTES = 1 << 18
# Larger bodies are handed to the transport as they are instead of being copied behind their head.
_JOINED_BYTES = 1 << 16
_LINGER_SECONDS = 0.5

Headers = list[tuple[bytes, bytes]]


class ConnectionLost(OSError):
    """The connection ended, or carried something else than HTTP, before the answer was complete."""


class Connection(asyncio.Protocol):
    """Carries one request at a time: `send`, `head`, then `read` until None, then `release`."""

    def __init__(self, released: Callable[[Connection], None]) -> None:
        """`released` is called with a connection that may be used again, and with one that was lost."""
        self._released = released
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._error: str | None = None
        self._paused = False
        self.lost = False
        self.used = False
        self._lingering: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self._head_bytes = 0
        self._head_complete = False
        self._parts: list[bytes] = []
        self.waiting_bytes = 0
        self._ended = False
        self._keep = False
        self._sink: Callable[[bytes], bool] | None = None
        self._sink_error: Exception | None = None

    @property
    def usable(self) -> bool:
        """Whether a request may be sent on it, as far as is known."""
        return self._error is None and not self._transport.is_closing()

    @property
    def answered(self) -> bool:
        """Whether any byte came back for the request."""
        return self._head_bytes > 0

    def send(self, head: bytes, body: bytes) -> None:
        """Begin a request: `head` with its empty line, and the body that it announces."""
        if self.used:
            self._begin()
        if len(body) > _JOINED_BYTES:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head + body)

    async def head(self) -> None:
        """Wait for `status` and `headers` (names in lower case). Raises ConnectionLost."""
        while not self._head_complete:
            if self._error is not None:
                raise ConnectionLost(self._error)
            await self._wait()

    async def read(self) -> bytes | None:
        """What has come of the body since the last call, at least a byte; None at its end. Raises ConnectionLost."""
        while True:
            parts = self._parts
            if parts:
                data = parts[0] if len(parts) == 1 else b"".join(parts)
                self._parts = []
                self.waiting_bytes = 0
                if self._paused:
                    self._paused = False
                    self._transport.resume_reading()
                return data
            if self._ended:
                return None
            if self._error is not None:
                raise ConnectionLost(self._error)
            await self._wait()

    async def pour(self, sink: Callable[[bytes], bool]) -> None:
        """Call `sink` with what comes of the body, as it comes, until it returns False, or the end, or the loss.

        Whoever awaits this is not woken for each part. What `sink` raises is raised here.
        """
        if self._parts:
            return
        self._sink = sink
        try:
            while self._sink is not None and not self._ended and self._error is None:
                await self._wait()
            if self._sink_error is not None:
                raise self._sink_error
        finally:
            self._sink = None

    def _pour(self, sink: Callable[[bytes], bool]) -> None:
        parts, self._parts = self._parts, []
        self.waiting_bytes = 0
        try:
            if sink(parts[0] if len(parts) == 1 else b"".join(parts)):
                return
        except Exception as error:  # it is for the task that awaits `pour`
            self._sink_error = error
        self._sink = None
        self._wake()

    def release(self, *, complete: bool = False) -> None:
        """The request is over. The connection is kept where its answer was read to the end, else closed.

        `complete`: its last event was read, and the end of the body, which servers send by itself, may be on its way.
        It is waited for, for a moment, and by nobody: a stream would else cost its connection.
        """
        self.used = True
        if complete and not self._ended and self.usable:
            self._parts = []
            self._lingering = self._loop.call_later(_LINGER_SECONDS, self.close)
            return
        whole = self._ended and self._keep and not self._parts
        # An answer may be complete before its request is, such as a refusal of a large body.
        if whole and self.usable and self._transport.get_write_buffer_size() == 0:
            self._released(self)
        else:
            self.close()

    def close(self) -> None:
        """Drop it. Safe to call again."""
        self._keep = False
        self._lingers_no_more()
        self._transport.abort()

    def _lingers_no_more(self) -> bool:
        """Whether it did."""
        timer, self._lingering = self._lingering, None
        if timer is not None:
            timer.cancel()
        return timer is not None

    async def _wait(self) -> None:
        self._waiter = waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, what: str) -> None:
        if self._error is None and not self._ended:
            self._error = what
        self._keep = False
        self._wake()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The event loop's own transport class need not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._head_complete:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES + len(data):
                self._fail("the head of the answer is too long")
                self._transport.abort()
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("the answer is not HTTP")
            self._transport.abort()
        if self._sink is not None and self._parts:
            self._pour(self._sink)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._lingers_no_more()
        if self._head_complete and not self._ended and error is None and not self._framed():
            # Without a length the end of the connection is the end of the body.
            self._ended = True
        self._fail("the connection was closed")
        self._released(self)
        # It holds this object: a cycle that only the collector would find.
        del self._parser

    def _framed(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._ended:
            # An answer to nothing. Nobody may take it for the answer to the next request.
            self._fail("an answer that nobody asked for")
            self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._ended:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._ended:
            return
        if status < 200:
            self.headers = []
            return
        self.status = status
        self._head_complete = True
        self._wake()

    def on_body(self, body: bytes) -> None:
        if self._ended:
            return
        if self._lingering is not None:
            # More than the end: this answer is not what it seemed.
            self.close()
            return
        self._parts.append(body)
        self.waiting_bytes += len(body)
        if self.waiting_bytes > _HIGH_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        if self._sink is None:
            self._wake()

    def on_message_complete(self) -> None:
        # An interim answer, such as 100 Continue, comes before the real one.
        if self._head_complete and not self._ended:
            self._ended = True
            self._keep = self._parser.should_keep_alive()
            self._wake()
            if self._lingers_no_more():
                self.release()
