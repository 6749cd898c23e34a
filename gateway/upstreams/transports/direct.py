"""The transport for upstreams that are reached directly: our own HTTP/1.1 client, which costs the least CPU time."""

from __future__ import annotations

from breakeven.gateway.upstreams.connection import Connection, ConnectionLost
from breakeven.gateway.upstreams.pool import Pool
from breakeven.gateway.upstreams.transports.interface import Origin, Stale, target

_MAX_HEADS = 64


class DirectTransport:
    """Sends requests over the connections of a `Pool`; a `Transport`."""

    def __init__(self, origin: Origin) -> None:
        assert origin.proxy is None, "requests through a proxy take the other transport"
        self._origin = origin
        self._pool = Pool(
            origin.base_url,
            connect_seconds=origin.connect_seconds,
            keep_seconds=origin.keep_seconds,
            tls=origin.tls,
        )
        self._heads: dict[tuple[str, str], bytes] = {}

    async def send(self, method: str, path: str, headers: dict[str, str], body: bytes, *, fresh: bool) -> Connection:
        """See `Transport.send`. `max_concurrency` of the upstream is the only limit of connections."""
        head = self._heads.get((method, path)) or self._first_lines(method, path)
        head += "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("latin-1")
        head += b"content-length: %d\r\n\r\n" % len(body) if method == "POST" else b"\r\n"
        connection = await self._pool.take(fresh=fresh)
        try:
            connection.send(head, body)
            await connection.head()
        except BaseException as error:
            connection.close()
            # Closed while it was idle, so the upstream has not processed the request.
            if connection.used and not fresh and not connection.answered and isinstance(error, ConnectionLost):
                raise Stale() from None
            raise
        return connection

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        self._pool.close()

    def _first_lines(self, method: str, path: str) -> bytes:
        """The request line and the headers common to all requests, encoded once per method and path."""
        lines = [f"{method} {target(self._pool.path, path, self._origin.query)} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self._origin.headers.items()]
        if any("\n" in line or "\r" in line for line in lines):
            raise ValueError("line break in a header or the path")
        head = "\r\n".join(lines).encode() + b"\r\nhost: " + self._pool.host_header + b"\r\n"
        if len(self._heads) >= _MAX_HEADS:
            # Ids in paths would fill it; the paths of all others are few, and are soon back.
            self._heads.clear()
        self._heads[(method, path)] = head
        return head
