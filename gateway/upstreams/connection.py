"""One HTTP/1.1 connection to an upstream: sends a request, parses the response.

The parser is httptools (llhttp), the one that uvicorn parses requests with. Features of a general HTTP client, such as
cookies, redirects, proxies, and URL and header objects per request, are left out: a gateway to one known server does
not need them, and they cost CPU time in every request; see decision record 0047.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from breakeven.gateway.errors import Cause
from breakeven.gateway.upstreams.causes import lost_cause

# Longest response head, and the most bytes between two parts of a body that are no content, such as extensions of
# chunks and trailers; OpenAI-compatible servers stay far below it.
MAX_HEAD_BYTES = 1 << 16
# After this many bytes at once other connections get their turn: the loop would read from this one for as long as there
# is anything.
_TURN_BYTES = 1 << 16
# Above this many unread bytes, reading from the socket is paused (back-pressure).
_HIGH_WATER_BYTES = 1 << 18
# Larger bodies are given to the transport separately instead of being copied behind the head.
_MAX_COPIED_BYTES = 1 << 16
_LINGER_SECONDS = 0.5

Headers = list[tuple[bytes, bytes]]


class ConnectionLost(OSError):
    """The connection was closed, or carried something other than HTTP, before the response was complete."""

    def __init__(self, message: str, cause: Cause, detail: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.detail = detail


class Connection(asyncio.Protocol):
    """Carries one request at a time: `send`, `head`, then `read` until None, then `release`.

    `lost` is True once the connection is closed, `used` once it has carried a request.
    """

    def __init__(self, released: Callable[[Connection], None]) -> None:
        """`released` is called with the connection when it may be reused, and when it is lost."""
        self._released = released
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._error: tuple[str, Cause, str] | None = None
        self._paused = False
        self.lost = False
        self.used = False
        self._lingering: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self._head_bytes = 0
        self._without_content = 0
        self._head_complete = False
        self._parts: list[bytes] = []
        self.waiting_bytes = 0
        self._ended = False
        self._keep_alive = False
        self._sink: Callable[[bytes], bool] | None = None
        self._sink_error: Exception | None = None

    @property
    def usable(self) -> bool:
        """Whether a request may be sent: no error so far, and the transport is open."""
        return self._error is None and not self._transport.is_closing()

    @property
    def answered(self) -> bool:
        """Whether any byte of a response to the current request has arrived."""
        return self._head_bytes > 0

    def send(self, head: bytes, body: bytes) -> None:
        """Send a request: `head` including its final empty line, and the body that its content-length announces."""
        if self.used:
            self._begin()
        if len(body) > _MAX_COPIED_BYTES:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head + body)

    async def head(self) -> None:
        """Wait until `status` and `headers` (names in lower case) are set. Raises ConnectionLost."""
        while not self._head_complete:
            if self._error is not None:
                raise ConnectionLost(*self._error)
            await self._wait()

    async def read(self) -> bytes | None:
        """The next part of the body, decoded from chunks; waits for at least one byte. None at the end.

        Raises ConnectionLost.
        """
        while True:
            parts = self._parts
            if parts:
                data = parts[0] if len(parts) == 1 else b"".join(parts)
                self._parts = []
                self.waiting_bytes = 0
                self._resume()
                return data
            if self._ended:
                return None
            if self._error is not None:
                raise ConnectionLost(*self._error)
            await self._wait()

    async def read_into(self, sink: Callable[[bytes], bool]) -> None:
        """Read in push mode: call `sink` with each part of the body from the transport's callback, as it arrives.

        Ends when `sink` returns False, at the end of the body, or when the connection is lost, which the next `read`
        reports. The awaiting task is woken only then, not for each part. What `sink` raises is raised here.
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

    def _push(self, sink: Callable[[bytes], bool]) -> None:
        parts, self._parts = self._parts, []
        self.waiting_bytes = 0
        try:
            if sink(parts[0] if len(parts) == 1 else b"".join(parts)):
                return
        except Exception as error:  # raised in the task that awaits `read_into`
            self._sink_error = error
        self._sink = None
        self._wake()

    def release(self, *, complete: bool = False) -> None:
        """End the request: keep the connection for reuse if its response was read to the end, else close it.

        `complete`: the last event of a stream was read, and only the end of the body, which servers send in a segment
        of its own, may be missing. It is awaited in the background for half a second; otherwise every stream would
        cost its connection.
        """
        self.used = True
        if complete and not self._ended and self.usable:
            self._parts = []
            self._lingering = self._loop.call_later(_LINGER_SECONDS, self.close)
            return
        reusable = self._ended and self._keep_alive and not self._parts
        # A response may be complete before its request was sent, such as one that rejects a large body.
        if reusable and self.usable and self._transport.get_write_buffer_size() == 0:
            self._released(self)
        else:
            self.close()

    def close(self) -> None:
        """Close the connection at once (abort). Safe to call again."""
        self._keep_alive = False
        self._cancel_linger()
        self._transport.abort()

    def _cancel_linger(self) -> bool:
        """Stop waiting for the end of a released response; returns whether it was being waited for."""
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

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self.waiting_bytes <= _HIGH_WATER_BYTES and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, what: str, cause: Cause, detail: str = "") -> None:
        if self._error is None and not self._ended:
            self._error = what, cause, detail
        self._keep_alive = False
        self._wake()

    # asyncio.Protocol, called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._head_complete:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + len(data):
                self._abort("the response head is too long")
                return
        self._without_content += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._abort("the response is not HTTP")
        if self._head_complete and not self._ended and self._without_content > MAX_HEAD_BYTES + len(data):
            self._abort("the response has too many bytes that are no content")
        if len(data) >= _TURN_BYTES:
            self._pause()
            self._loop.call_soon(self._resume)
        if self._sink is not None and self._parts:
            self._push(self._sink)

    def _abort(self, what: str) -> None:
        self._fail(what, Cause.PROTOCOL)
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._cancel_linger()
        if self._head_complete and not self._ended and error is None and not self._has_framing():
            # Without content-length or chunks, the end of the connection is the end of the body.
            self._ended = True
        self._fail("the connection was closed", *lost_cause(error))
        self._released(self)
        # The parser refers to this object: a reference cycle that only the cyclic collector would free.
        del self._parser

    def _has_framing(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        if self._ended:
            # A response without a request must not be taken for the response to the next request.
            self._abort("unsolicited response")

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes behind a body is a trailer, which nothing here reads.
        if not self._head_complete:
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
        self._without_content = 0
        if self._ended:
            return
        if self._lingering is not None:
            # More body after the event that should have been the last: do not reuse the connection.
            self.close()
            return
        self._parts.append(body)
        self.waiting_bytes += len(body)
        if self.waiting_bytes > _HIGH_WATER_BYTES:
            self._pause()
        if self._sink is None:
            self._wake()

    def on_message_complete(self) -> None:
        # An interim response, such as 100 Continue, completes before the head of the final one.
        if self._head_complete and not self._ended:
            self._ended = True
            self._keep_alive = self._parser.should_keep_alive()
            self._wake()
            if self._cancel_linger():
                self.release()
