"""The interface of a transport, which sends requests to one upstream, and of the response that it gives.

Both transports keep the same promises, and the contract tests run over both: a body arrives byte for byte as it was
sent; no redirect is followed; while a body is not read, its upstream is held back; a response that is abandoned closes
its connection, so that the upstream stops generating; certificates and host names are verified. The timeouts other than
that for opening a connection are the caller's, who cancels.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import NamedTuple, Protocol

from breakeven.gateway.config.proxies import Proxy
from breakeven.gateway.errors import Cause
from breakeven.gateway.upstreams.connection import ConnectionLost, Headers

# The path of vLLM's tokenizer, which is beside /v1.
TOKENIZE = "/tokenize"


class Stale(ConnectionLost):
    """A reused connection was closed before any byte of a response: the upstream has not processed the request."""

    def __init__(self) -> None:
        super().__init__("the connection was closed", Cause.STALE_CONNECTION, "")


class Origin(NamedTuple):
    """What a transport knows about its upstream.

    `query` is percent-encoded; `headers` go with every request, names in lower case. `connect_seconds` bounds the
    opening of a connection, TLS and proxy included; `tls` is None for http, `proxy_tls` without a proxy reached by
    https. A connection that is idle for longer than `keep_seconds` is not used again.
    """

    base_url: str
    query: str
    headers: dict[str, str]
    connect_seconds: float
    keep_seconds: float
    tls: ssl.SSLContext | None
    proxy: Proxy | None
    proxy_tls: ssl.SSLContext | None


def target(base_path: str, path: str, query: str) -> str:
    """Path and query of a request: below the path of the base URL, TOKENIZE beside its /v1. `path` may have a query."""
    base = base_path.removesuffix("/v1") if path == TOKENIZE else base_path
    return f"{base}{path}{'&' if '?' in path else '?'}{query}" if query else f"{base}{path}"


class Received(Protocol):
    """A response whose head has arrived: `status`, and `headers` with names in lower case."""

    status: int
    headers: Headers

    async def read(self) -> bytes | None:
        """The next part of the body, without its framing; None at the end. Raises ConnectionLost."""

    async def read_into(self, sink: Callable[[bytes], bool]) -> None:
        """Call `sink` with each part of the body until it returns False, the body ends, or the connection is lost,
        which the next `read` reports. What `sink` raises is raised here.
        """

    def release(self, *, complete: bool = False) -> None:
        """End the request: keep the connection if the body was read to its end, else close it.

        `complete`: the last event of a stream was read; the end of the body is awaited in the background.
        """


class Transport(Protocol):
    """Sends requests to one upstream. Created in the running event loop."""

    async def send(self, method: str, path: str, headers: dict[str, str], body: bytes, *, fresh: bool) -> Received:
        """Send a request to a path below the base URL, or to TOKENIZE, with these headers and the origin's, and wait
        for the head of the response, of whatever status.

        `path` may have a query. `fresh`: on a new connection. A POST has a body, of any length; others have none.
        Raises Unreachable, ConnectionLost, Stale unless `fresh`, and ValueError for a header that cannot be sent.
        """

    async def aclose(self) -> None:
        """Close all idle connections; those in use are closed when they are released."""
