"""Accepting connections one by one, only while there is room for them; the others wait in the system's queue."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from breakeven.gateway.errors import RequestError
from breakeven.gateway.server.connections import OUT_OF_FILES, Connections

# So many at once, before running requests get their turn.
_TURN = 32
# How soon it is looked again whether there is room.
_PAUSE_SECONDS = 0.05
_REFUSED = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%b"
)


class Acceptor:
    """Accepts the connections of a listening socket. Has what uvicorn calls of its servers."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Connections,
        backlog: int,
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._ended = False
        listener.setblocking(False)
        listener.listen(backlog)
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept nothing any more."""
        self._ended = True
        if self._pause is not None:
            self._pause.cancel()
        else:
            self._loop.remove_reader(self._listener.fileno())

    async def wait_closed(self) -> None:
        """Wait for the connections that were just accepted."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(_TURN):
            if not self._connections.make_room():
                self._wait(None)
                return
            try:
                accepted, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Another process of this machine may have the last file; the connection stays in the queue.
                if error.errno not in OUT_OF_FILES:
                    raise
                self._wait(error)
                return
            accepted.setblocking(False)
            if self._connections.admits(str(address[0])):
                self._start(accepted)
            else:
                _refuse(accepted)

    def _wait(self, error: OSError | None) -> None:
        self._connections.waits(error)
        self._loop.remove_reader(self._listener.fileno())
        self._pause = self._loop.call_later(_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        self._pause = None
        if not self._ended:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _start(self, accepted: socket.socket) -> None:
        self._connections.opening += 1
        task = self._loop.create_task(self._connect(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._protocol, accepted)
        except OSError:  # it is gone already
            accepted.close()
        finally:
            self._connections.opening -= 1


def _refuse(accepted: socket.socket) -> None:
    body = RequestError(
        503,
        "This address has as many connections open as server.max_connections_per_peer allows.",
        type="server_error",
        code="too_many_connections",
    ).body()
    with contextlib.suppress(OSError):
        accepted.send(_REFUSED % (len(body), body))
        accepted.shutdown(socket.SHUT_WR)
    accepted.close()
