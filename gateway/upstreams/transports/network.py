"""The network of httpx2's pool, which tells what the pool does not: how far a request came before it failed."""

# The pool's interface has these parameters.
# ruff: noqa: ASYNC109

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import httpcore2


class Progress:
    """How far one request came.

    `opened`: a connection was opened for it. `sent`: any of it was written. `answered`: any byte was read since the
    last write; a response that is complete without one was there before the request.
    """

    def __init__(self) -> None:
        self.opened = False
        self.sent = False
        self.answered = False
        self.sending: Callable[[], None] | None = None


class Backend(httpcore2.AsyncNetworkBackend):
    """Opens connections for the pool, and notes the progress of the request that the running task is `watched` for."""

    def __init__(self) -> None:
        self._network = httpcore2.AnyIOBackend()
        self._watched: ContextVar[Progress] = ContextVar("progress")

    @contextlib.contextmanager
    def watched(self, progress: Progress, sending: Callable[[], None]) -> Iterator[None]:
        """Note the progress of the request that the block sends; `sending` is called when it is written."""
        progress.sending = sending
        token = self._watched.set(progress)
        try:
            yield
        finally:
            self._watched.reset(token)
            progress.sending = None

    def progress(self) -> Progress | None:
        """That of the request which the running task sends."""
        return self._watched.get(None)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        progress = self.progress()
        if progress is not None:
            progress.opened = True
        return _Stream(await self._network.connect_tcp(host, port, timeout, local_address, socket_options), self)


class _Stream(httpcore2.AsyncNetworkStream):
    """A connection; TLS on top of it is another one."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, backend: Backend) -> None:
        self._stream = stream
        self._backend = backend
        self._progress: Progress | None = None
        self._head = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._stream.read(max_bytes, timeout)
        if data and self._progress is not None:
            self._progress.answered = True
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._progress = progress = self._backend.progress()
        # The request for a tunnel belongs to the opening of the connection; its body is empty.
        if progress is not None and buffer and not buffer.startswith(b"CONNECT "):
            progress.sent, progress.answered = True, False
            if progress.sending is not None:
                progress.sending()
                progress.sending = None
        # The head and the body of a POST, which the pool writes one after the other, go out in one segment.
        if buffer.startswith(b"POST ") and not self._head:
            self._head = buffer
            return
        head, self._head = self._head, b""
        await self._stream.write(head + buffer if head else buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._backend)
        except BaseException:
            # A cancellation, such as that of the timeout for connecting, would leave it open.
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
