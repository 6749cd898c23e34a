"""The figures of the ledger that all workers of a gateway export: one reads them, the others take them over.

Workers that read for themselves would export figures of different moments. A scrape that another worker answers, which
is slower or has just started, would then go back to older sums, which Prometheus takes for a restart, or have none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from breakeven.gateway.ledger.statements import Books

_FILE, _LOCK = "ledger-figures.pickle", "ledger-figures.lock"


class Figures(NamedTuple):
    """What was read of the ledger: `read_at` is when that began, and `again_at` the earliest time to read again, in
    seconds of the monotonic clock, which the processes of a machine share. `now` is the time that the figures are of,
    microseconds since the epoch.
    """

    books: Books
    now: int
    read_at: float
    again_at: float


class SharedFigures:
    """The newest figures of the workers that share a folder; without a folder those of this process."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` belongs to the gateway alone: what is in it is believed."""
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self._newest: Figures | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other worker is reading, so that what is read later is never older. Raises OSError."""
        if self._folder is None:
            yield
            return
        with (self._folder / _LOCK).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def get(self) -> Figures | None:
        """The newest figures that could be read, None before the first."""
        if self._folder is None:
            return self._newest
        with self._lock, contextlib.suppress(OSError), (self._folder / _FILE).open("rb") as file:
            status = os.fstat(file.fileno())
            seen = status.st_ino, status.st_mtime_ns
            if seen != self._seen:
                self._newest, self._seen = _unpickled(file), seen
        return self._newest

    def put(self, figures: Figures) -> None:
        """Make these the newest. Only in one's `turn`. Raises OSError."""
        if self._folder is None:
            self._newest = figures
            return
        fresh = self._folder / f"{_FILE}.new"
        with open(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            pickle.dump(figures, file)
        fresh.replace(self._folder / _FILE)


def _unpickled(file: BinaryIO) -> Figures | None:
    """The figures in a file; None where they are of another version: a worker that starts after an upgrade has newer
    code than those that run.
    """
    try:
        found: Figures = pickle.load(file)  # noqa: S301 - written by a worker of this gateway
    except Exception:  # whatever a class that is not there, or has other fields, makes of it
        return None
    return found
