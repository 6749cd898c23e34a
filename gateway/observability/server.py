"""Metrics of the server itself: connections of clients, open files, and lines of the log that nobody read."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge

from breakeven.gateway.observability import log

# Counting ten thousand files takes milliseconds.
_FILES_SECONDS = 5.0


class Closed(StrEnum):
    """Why the server closed a connection that had no request running, or took none."""

    # There are as many connections as there may be, and it had no request.
    FULL = "full"
    # It sent no request in time.
    SILENT = "silent"
    # Its peer has as many as one may have, all with requests.
    PEER = "peer"


class ServerMetrics:
    """Counted by the server; `read` looks at the rest, and is called before an export."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge(
            "breakeven_connections",
            "Connections of clients that are open.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.closed = Counter(
            "breakeven_connections_closed",
            "Connections that the server closed although no request had failed: full (the oldest without a request, "
            "since there were as many as server.max_connections allows), silent (no request within "
            "server.head_seconds), peer (more than server.max_connections_per_peer).",
            ["why"],
            registry=registry,
        )
        for why in Closed:
            self.closed.labels(why)
        self.waits = Counter(
            "breakeven_connections_waited",
            "Times that further connections had to wait to be accepted: all allowed had requests running, or this "
            "process had no file left.",
            registry=registry,
        )
        self.files = Gauge(
            "breakeven_open_files",
            "Files and connections that this process has open.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.most_files = Gauge(
            "breakeven_open_files_limit",
            "How many it may have: the hard limit of its environment, which it raises its own to.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.lines_lost = Counter(
            "breakeven_log_lines_lost",
            "Lines of the log that were dropped because whoever reads standard error did not.",
            registry=registry,
        )
        self._lost = 0
        self._files_again = 0.0

    def read(self) -> None:
        """Look at what is not counted as it happens."""
        lost = log.lines_lost()
        self.lines_lost.inc(lost - self._lost)
        self._lost = lost
        if time.monotonic() < self._files_again:
            return
        self._files_again = time.monotonic() + _FILES_SECONDS
        self.most_files.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        with contextlib.suppress(OSError):  # only where the system says it
            self.files.set(len(os.listdir("/dev/fd")))
