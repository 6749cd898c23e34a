"""The transport for upstreams behind a proxy: httpx2's connection pool, the package httpcore2, without its client.

The client's redirects, cookies, authentication and use of the environment are left out: the pool sends what it is told.
What the pool does not do is done here: one bound for opening a connection with everything that belongs to it, a new
connection where one is asked for, and closing a response from code that does not wait. HTTP/2 is not used: the pool
resets no stream that is abandoned, so the upstream would generate, and charge for, answers that nobody reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpcore2

from breakeven.gateway.config.proxies import Proxy
from breakeven.gateway.errors import BreakevenError, Cause
from breakeven.gateway.upstreams.causes import connect_cause, lost_cause
from breakeven.gateway.upstreams.connection import MAX_HEAD_BYTES, ConnectionLost, Headers
from breakeven.gateway.upstreams.pool import Unreachable
from breakeven.gateway.upstreams.transports.interface import Origin, Stale, target
from breakeven.gateway.upstreams.transports.network import Backend, Progress

_LINGER_SECONDS = 0.5
_OF_THE_NETWORK = frozenset({Cause.REFUSED, Cause.DNS, Cause.UNREACHABLE, Cause.CONNECT_TIMEOUT})
# Of a proxy that wants a user and a password.
_PROXY_AUTHENTICATION = 407
_POOL_ERRORS = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    OSError,
)

_log = logging.getLogger("breakeven.upstream")


class Httpx2Transport:
    """Sends requests over httpx2's connection pool; a `Transport`."""

    def __init__(self, origin: Origin) -> None:
        parts = urlsplit(origin.base_url)
        assert parts.hostname is not None, "checked by the config schema"
        self._origin = origin
        self._scheme, self._host, self._port = parts.scheme, _ascii(parts.hostname), parts.port
        self._path = quote(parts.path, safe="/%:=&~+!$,;'@()*")
        common = [(name.encode(), value.encode()) for name, value in origin.headers.items()]
        self._common: Headers = [*common, (b"host", _ascii(parts.netloc))]
        self._network = Backend()
        self._pool = self._new_pool(keep=True)
        # Its connections are new ones: none is kept.
        self._fresh_pool = self._new_pool(keep=False)
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, method: str, path: str, headers: dict[str, str], body: bytes, *, fresh: bool) -> _Response:
        """See `Transport.send`."""
        lines = [*self._common, *((name.encode(), value.encode("latin-1")) for name, value in headers.items())]
        if method == "POST":
            lines.append((b"content-length", b"%d" % len(body)))
        line = target(self._path, path, self._origin.query)
        url = httpcore2.URL(scheme=self._scheme, host=self._host, port=self._port, target=line)
        request = httpcore2.Request(method, url, headers=lines, content=body)
        pool = self._fresh_pool if fresh else self._pool
        progress = Progress()
        try:
            async with asyncio.timeout(self._origin.connect_seconds) as limit:
                with self._network.watched(progress, sending=lambda: limit.reschedule(None)):
                    raw = await pool.handle_async_request(request)
        except _POOL_ERRORS as error:
            if not progress.sent:
                self._report(error)
                raise Unreachable(*_connect_cause(error, self._origin.proxy)) from None
            if not (progress.opened or progress.answered):
                raise Stale from None
            raise _lost(error) from None
        return self._checked(_Response(raw, self._in_background), progress)

    async def aclose(self) -> None:
        """See `Transport.aclose`. No request needs the connections in use any more, which are closed as well."""
        if self._closing:
            await asyncio.wait(self._closing, timeout=2 * _LINGER_SECONDS)
        await self._pool.aclose()
        await self._fresh_pool.aclose()

    def _new_pool(self, *, keep: bool) -> httpcore2.AsyncConnectionPool:
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._origin.tls,
            proxy=_proxy(self._origin),
            # The upstream's `max_concurrency` is the only limit of connections.
            max_connections=None,
            max_keepalive_connections=None if keep else 0,
            keepalive_expiry=self._origin.keep_seconds,
            network_backend=self._network,
        )

    def _checked(self, response: _Response, progress: Progress) -> _Response:
        """The response, unless it is a proxy's own, has too long a head, or was there before the request."""
        fault: OSError | None = None
        if sum(len(name) + len(value) + 4 for name, value in response.headers) > MAX_HEAD_BYTES:
            fault = ConnectionLost("the response head is too long", Cause.PROTOCOL, "")
        elif not progress.answered:
            fault = ConnectionLost("unsolicited response", Cause.PROTOCOL, "")
        elif response.status == _PROXY_AUTHENTICATION and self._origin.proxy is not None:
            self._report(httpcore2.ProxyError(str(_PROXY_AUTHENTICATION)))
            fault = Unreachable(Cause.PROXY, f"status {_PROXY_AUTHENTICATION}")
        if fault is None:
            return response
        response.abandon()
        raise fault

    def _report(self, error: Exception) -> None:
        """Log that the proxy refused a request: only the operator can mend that."""
        if isinstance(error, httpcore2.ProxyError) and self._origin.proxy is not None:
            # The text begins with the status that the proxy answered CONNECT with.
            status = str(error)[:3]
            _log.warning(
                "the proxy %s (from %s) refuses to connect, with status %s; check its rules, and user and password",
                self._origin.proxy.address,
                self._origin.proxy.given_by,
                status if status.isdigit() else "unknown",
            )

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Response:
    """A response of httpx2's pool; a `Received`."""

    def __init__(self, raw: httpcore2.Response, in_background: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        assert isinstance(raw.stream, AsyncIterable)
        self.status = raw.status
        self.headers: Headers = [(name.lower(), value) for name, value in raw.headers]
        self._raw = raw
        self._parts: AsyncIterator[bytes] = aiter(raw.stream)
        self._in_background = in_background
        self._ended = False
        self._lost: ConnectionLost | None = None

    async def read(self) -> bytes | None:
        """See `Received.read`."""
        if self._lost is not None:
            raise self._lost
        # The pool's generators are finished once they have ended or raised.
        part: bytes | None = b""
        try:
            while part == b"":
                part = await anext(self._parts, None)
        except _POOL_ERRORS as error:
            self._lost = _lost(error)
            raise self._lost from None
        self._ended = part is None
        return part

    async def read_into(self, sink: Callable[[bytes], bool]) -> None:
        """See `Received.read_into`. Nothing is read from the connection while `sink` is not called."""
        with contextlib.suppress(ConnectionLost):
            while (part := await self.read()) is not None and sink(part):
                pass

    def release(self, *, complete: bool = False) -> None:
        """See `Received.release`."""
        self._in_background(self._close(complete=complete))

    def abandon(self) -> None:
        """Close the connection, whether or not the body was read to its end."""
        self._in_background(self._raw.extensions["network_stream"].aclose())
        self._in_background(self._close(complete=False))

    async def _close(self, *, complete: bool) -> None:
        if complete and not self._ended:
            with contextlib.suppress(ConnectionLost, TimeoutError):
                async with asyncio.timeout(_LINGER_SECONDS):
                    await self.read()
        # The pool keeps the connection if the body has ended, and closes it otherwise.
        with contextlib.suppress(*_POOL_ERRORS):
            await self._raw.aclose()


def _connect_cause(error: Exception, proxy: Proxy | None) -> tuple[Cause, str]:
    """The cause of an error while a connection was opened: with a proxy that is the connection to it."""
    if isinstance(error, httpcore2.ProxyError):
        return Cause.PROXY, f"status {str(error)[:3]}"
    root = _root(error)
    if isinstance(root, httpcore2.ProtocolError):
        return Cause.PROTOCOL, "of the proxy"
    cause, detail = connect_cause(root)
    if proxy is not None and cause in _OF_THE_NETWORK:
        return Cause.PROXY, f"{proxy.address} (from {proxy.given_by}): {cause}"
    return cause, detail


def _lost(error: Exception) -> ConnectionLost:
    """The error for a connection that was lost after the request was sent."""
    root = _root(error)
    if isinstance(root, ssl.SSLError | ConnectionError):
        return ConnectionLost("the connection was closed", *lost_cause(root))
    text = str(root)
    if isinstance(root, httpcore2.RemoteProtocolError) and not ("disconnected" in text or "peer closed" in text):
        return ConnectionLost("the response is not HTTP", Cause.PROTOCOL, "")
    return ConnectionLost("the connection was closed", Cause.CLOSED, "")


def _root(error: Exception) -> Exception:
    """The error of the system below those that libraries raised for it, of a group's the first; else `error`."""
    found, below = error, error
    while not isinstance(below, BreakevenError | ConnectionLost | ssl.SSLError):
        # The pool raises with `from None`, which leaves only the context; that ends with an error of ours if the
        # request is a retry.
        inner = below.exceptions[0] if isinstance(below, ExceptionGroup) else below.__cause__ or below.__context__
        if not isinstance(inner, Exception):
            break
        below = inner
        if isinstance(below, OSError) and not isinstance(below, ConnectionLost):
            found = below
    return found


def _proxy(origin: Origin) -> httpcore2.Proxy | None:
    if origin.proxy is None:
        return None
    parts = urlsplit(origin.proxy.url)
    assert parts.hostname is not None, "checked by check_proxy"
    url = httpcore2.URL(scheme=parts.scheme, host=_ascii(parts.hostname), port=parts.port, target=b"/")
    auth = None
    if parts.username is not None:
        auth = (unquote(parts.username).encode(), unquote(parts.password or "").encode())
    return httpcore2.Proxy(url, auth=auth, ssl_context=origin.proxy_tls)


def _ascii(host: str) -> bytes:
    return host.encode("ascii" if host.isascii() else "idna")
