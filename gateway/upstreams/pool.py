"""The connection pool of one upstream: connections are opened when none is idle, and kept for a limited time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from urllib.parse import quote, urlsplit

import aiohappyeyeballs

from breakeven.gateway.errors import Cause
from breakeven.gateway.upstreams.causes import connect_cause, out_of_files
from breakeven.gateway.upstreams.connection import Connection

# After this long the next address of the same name is tried in parallel (Happy Eyeballs, RFC 8305).
_NEXT_ADDRESS_SECONDS = 0.25
# While this process has no file left.
_TRIES_WITHOUT_FILES, _PAUSE_SECONDS = 20, 0.05


class Unreachable(OSError):
    """No connection could be opened within the connect timeout, for this `cause`; `detail` may name the host."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(f"{cause}: {detail}" if detail else str(cause))
        self.cause = cause
        self.detail = detail


class Pool:
    """Connections to one origin, without a limit of their number.

    `path` is the path of the base URL, percent-encoded; `host_header` the value of the host header.
    """

    def __init__(
        self, base_url: str, *, connect_seconds: float, keep_seconds: float, tls: ssl.SSLContext | None = None
    ) -> None:
        """`base_url`: http or https, without user, query or fragment. `keep_seconds`: longest idle time.

        `tls`: settings for https; None: the system's CAs, and no client certificate.
        """
        parts = urlsplit(base_url)
        assert parts.hostname is not None, "checked by the config schema"
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._connect_seconds = connect_seconds
        self._keep_seconds = keep_seconds
        self._loop = asyncio.get_running_loop()
        # With the loop time of their release; the one released last is reused first.
        self._idle: dict[Connection, float] = {}
        self._reaper: asyncio.TimerHandle | None = None
        self.path = quote(parts.path, safe="/%:=&~+!$,;'@()*")
        self.host_header = parts.netloc.encode("ascii" if parts.netloc.isascii() else "idna")

    async def take(self, *, fresh: bool = False) -> Connection:
        """An idle connection, or a new one if there is none or `fresh` is set. Raises Unreachable."""
        oldest = self._loop.time() - self._keep_seconds
        while self._idle and not fresh:
            connection, since = self._idle.popitem()
            if since >= oldest and connection.usable:
                return connection
            connection.close()
        return await self._open()

    def close(self) -> None:
        """Close idle connections; those in use are closed when they are released."""
        self._keep_seconds = -1.0
        if self._reaper is not None:
            self._reaper.cancel()
        self._drop_idle()

    async def _open(self) -> Connection:
        tries = _TRIES_WITHOUT_FILES
        try:
            async with asyncio.timeout(self._connect_seconds):
                while True:
                    try:
                        return await self._connect()
                    except OSError as error:
                        tries -= 1
                        if not (out_of_files(error) and tries):
                            raise
                    # Other requests end meanwhile.
                    self._drop_idle()
                    await asyncio.sleep(_PAUSE_SECONDS)
        # uvloop raises RuntimeError for some failed connects, and a name with an impossible label is a UnicodeError.
        except (OSError, RuntimeError, TimeoutError, UnicodeError) as error:
            raise Unreachable(*connect_cause(error)) from None

    async def _connect(self) -> Connection:
        addresses = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        connected = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, loop=self._loop
        )
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._released),
                sock=connected,
                ssl=self._tls,
                server_hostname=self._host if self._tls is not None else None,
            )
        except BaseException:
            connected.close()
            raise
        return connection

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.popitem()[0].close()

    def _released(self, connection: Connection) -> None:
        if connection.lost:
            self._idle.pop(connection, None)
            return
        if self._keep_seconds < 0:
            connection.close()
            return
        self._idle[connection] = self._loop.time()
        if self._reaper is None:
            self._reaper = self._loop.call_later(self._keep_seconds, self._reap)

    def _reap(self) -> None:
        """Close connections idle for longer than `keep_seconds`; they are in order of their release."""
        self._reaper = None
        oldest = self._loop.time() - self._keep_seconds
        for connection, since in tuple(self._idle.items()):
            if since > oldest:
                self._reaper = self._loop.call_at(since + self._keep_seconds, self._reap)
                break
            del self._idle[connection]
            connection.close()
