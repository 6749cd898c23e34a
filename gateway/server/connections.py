"""How many connections clients may have: those without a request go first, and nobody is locked out by them."""

from __future__ import annotations

import contextlib
import errno
import logging
import resource
import time
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from breakeven.gateway.config.server import Server
from breakeven.gateway.observability.server import Closed, ServerMetrics

_log = logging.getLogger("breakeven.server")

# Files for all but clients and what is opened for their requests: the ledger, its journal, logs, health checks.
RESERVE = 128
# Connections beyond this cost memory rather than files.
_MOST = 65_536
# That have never sent a request; each costs some kilobytes.
_MOST_SILENT = 4096
# Of those without a request so many are looked at, the oldest first.
_LOOK_AT = 256
# A request may be on its way to one that has none.
_PATIENCE_SECONDS = 1.0
_SAY_SECONDS = 30.0
OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Connection(Protocol):
    """What `Connections` knows of one."""

    peer: str
    # Whether no whole request has come yet.
    silent: bool

    @property
    def idle_since(self) -> float | None:
        """Since when no request is running, in seconds of `time.monotonic`; None while one is."""

    def leave(self) -> None:
        """Close it."""


def raise_file_limit() -> int:
    """Let this process have as many files as its environment allows, and return that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 20 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(wanted, 1 << 20)


def most_connections(server: Server) -> int:
    """How many connections of clients a process may have, by its config and its limit of files.

    Each may need another connection, to an upstream.
    """
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    by_files = _MOST if soft == resource.RLIM_INFINITY else max(16, (soft - RESERVE) // 2)
    return min(server.max_connections or _MOST, by_files)


class Connections:
    """The open connections of a process, the oldest first. There may be `most`, and `per_peer` of each peer."""

    def __init__(self, most: int, per_peer: int | None, metrics: ServerMetrics) -> None:
        self.most = most
        self._per_peer = per_peer
        self._metrics = metrics
        self._open: dict[Connection, None] = {}
        self._silent: dict[Connection, None] = {}
        self._of_peer: Counter[str] = Counter()
        # Accepted, and not in `_open` yet.
        self.opening = 0
        self._said: dict[str, float] = {}

    def opened(self, one: Connection) -> None:
        """It was accepted."""
        self._open[one] = self._silent[one] = None
        self._of_peer[one.peer] += 1
        self._metrics.connections.inc()
        if len(self._silent) > _MOST_SILENT:
            self._close(self._silent)

    def spoke(self, one: Connection) -> None:
        """Its first request has come."""
        self._silent.pop(one, None)

    def closed(self, one: Connection) -> None:
        """It is closed."""
        if one not in self._open:
            return
        del self._open[one]
        self._silent.pop(one, None)
        self._of_peer[one.peer] -= 1
        if not self._of_peer[one.peer]:
            del self._of_peer[one.peer]
        self._metrics.connections.dec()

    def make_room(self) -> bool:
        """Whether another may be accepted. One without a request is closed for it where there are as many as may be."""
        if len(self._open) + self.opening < self.most:
            return True
        self._say("full", "all %d connections are in use; those without a request are closed for others", self.most)
        return self._close(self._silent) or self._close(self._open)

    def admits(self, peer: str) -> bool:
        """Whether this peer may have another. One of its own without a request is closed for it."""
        if self._per_peer is None or self._of_peer[peer] < self._per_peer:
            return True
        if self._close(one for one in self._open if one.peer == peer):
            return True
        self._say("peer", "a peer has all the %d connections that one may have; more are refused", self._per_peer)
        self._metrics.closed.labels(Closed.PEER).inc()
        return False

    def timed_out(self) -> None:
        """One was closed since it sent no request in time."""
        self._metrics.closed.labels(Closed.SILENT).inc()

    def waits(self, error: OSError | None = None) -> None:
        """Further ones are not accepted for now: all have requests, or for this error of the system."""
        self._metrics.waits.inc()
        if error is None:
            self._say("waits", "all %d connections have requests, or are new; others wait until one ends", self.most)
        else:
            self._say("files", "no connection can be accepted (%s); raise the limit of open files", error.strerror)

    def _close(self, among: Iterable[Connection]) -> bool:
        """Close the oldest without a request of the peer that has most of these; False where all have one."""
        found: list[Connection] = []
        before = time.monotonic() - _PATIENCE_SECONDS
        for one in among:
            since = one.idle_since
            if since is not None and since < before:
                found.append(one)
                if len(found) == _LOOK_AT:
                    break
        if not found:
            return False
        peer = Counter(one.peer for one in found).most_common(1)[0][0]
        chosen = next(one for one in found if one.peer == peer)
        self.closed(chosen)
        chosen.leave()
        self._metrics.closed.labels(Closed.FULL).inc()
        return True

    def _say(self, what: str, message: str, *arguments: object) -> None:
        now = time.monotonic()
        if now - self._said.get(what, -_SAY_SECONDS) >= _SAY_SECONDS:
            self._said[what] = now
            _log.warning(message, *arguments)
