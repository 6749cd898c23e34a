"""A proxy before PostgreSQL that can swallow what is sent on its connections, as a firewall that forgot them does."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from pathlib import Path
from types import TracebackType


class Swallowing:
    """Passes TCP connections on to a Unix socket. `swallow` keeps those of now open and passes nothing on any more."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._swallowed: set[int] = set()
        self._pairs: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._refusing = False
        self._ended = False
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Swallowing:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended = True
        for one in (self._listener, *(side for pair in tuple(self._pairs.values()) for side in pair)):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join()

    def swallow(self, *, new: bool) -> None:
        """Freeze all connections of now; with `new` those that are opened later, too."""
        self._swallowed.update(self._pairs)
        self._refusing = new

    def _accept(self) -> None:
        number = 0
        while not self._ended:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            number += 1
            self._pairs[number] = (client, server)
            if self._refusing:
                self._swallowed.add(number)
            threading.Thread(target=self._pass, args=(number, client, server), daemon=True).start()

    def _pass(self, number: int, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while not self._ended:
                for ready in select.select([client, server], [], [], 0.5)[0]:
                    data = ready.recv(65536)
                    if number in self._swallowed:
                        continue
                    if not data:
                        return
                    (server if ready is client else client).sendall(data)
        if number not in self._swallowed:
            client.close()
            server.close()
