"""Counting over a sliding minute: no 60 seconds, wherever they begin, have more than the limit.

Counts are kept for each quarter of a second, in memory or in a SQLite file that the workers of a gateway share. Time is
that of the monotonic clock, which all processes of a machine share and nobody sets. The library `limits` has no store
that processes share without a server, and its sliding windows keep each token of a request as an entry of its own.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

_T = TypeVar("_T")
_log = logging.getLogger("breakeven.limits")

WINDOW_SECONDS = 60
_PER_SECOND = 4
_SLOTS = WINDOW_SECONDS * _PER_SECOND
# How long a file that failed is left alone, and how often old counts are removed.
_RETRY_SECONDS = 5.0
_SWEEP_SLOTS = 15 * _PER_SECOND
_BUSY_SECONDS = 0.2


class _Store(Protocol):
    """Counts by name and slot. A slot is a whole number; of those up to `now` the last _SLOTS + 1 count."""

    def add(self, name: str, now: int, amount: int, limit: int | None) -> bool:
        """Add an amount, unless the sum would then be above `limit`; whether it was added."""

    def counts(self, name: str, now: int) -> list[tuple[int, int]]:
        """The slots that count and their amounts, oldest first."""

    def sweep(self, now: int) -> None:
        """Remove what no longer counts. A clock that went back leaves counts in the future: these move to `now`."""

    def close(self) -> None:
        """Free what is held."""


class _Memory:
    """The counts of one process."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[int, int]] = {}

    def add(self, name: str, now: int, amount: int, limit: int | None) -> bool:
        slots = self._counts.setdefault(name, {})
        if limit is not None and sum(count for slot, count in slots.items() if slot >= now - _SLOTS) + amount > limit:
            return False
        slots[now] = slots.get(now, 0) + amount
        return True

    def counts(self, name: str, now: int) -> list[tuple[int, int]]:
        return sorted(pair for pair in self._counts.get(name, {}).items() if pair[0] >= now - _SLOTS)

    def sweep(self, now: int) -> None:
        for name, slots in list(self._counts.items()):
            kept: dict[int, int] = {}
            for slot, count in slots.items():
                if slot >= now - _SLOTS:
                    kept[min(slot, now)] = kept.get(min(slot, now), 0) + count
            if kept:
                self._counts[name] = kept
            else:
                del self._counts[name]

    def close(self) -> None:
        self._counts.clear()


class _File:
    """The counts of several processes. Every method raises sqlite3.Error where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        # No durability: counts lost in a power failure would have expired within a minute.
        self._connection.execute("PRAGMA journal_mode=MEMORY")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS counts (name TEXT, slot INTEGER, count INTEGER NOT NULL, "
            "PRIMARY KEY (name, slot)) WITHOUT ROWID"
        )

    def add(self, name: str, now: int, amount: int, limit: int | None) -> bool:
        # One statement, so that no other process comes between the sum and the addition.
        done = self._connection.execute(
            "INSERT INTO counts SELECT :name, :now, :amount WHERE :limit IS NULL OR :amount + "
            "(SELECT coalesce(sum(count), 0) FROM counts WHERE name = :name AND slot >= :since) <= :limit "
            "ON CONFLICT (name, slot) DO UPDATE SET count = count + :amount",
            {"name": name, "now": now, "amount": amount, "limit": limit, "since": now - _SLOTS},
        )
        return done.rowcount > 0

    def counts(self, name: str, now: int) -> list[tuple[int, int]]:
        query = "SELECT slot, count FROM counts WHERE name = ? AND slot >= ? ORDER BY slot"
        return self._connection.execute(query, (name, now - _SLOTS)).fetchall()

    def sweep(self, now: int) -> None:
        run = self._connection.execute
        run("DELETE FROM counts WHERE slot < ?", (now - _SLOTS,))
        if run("SELECT 1 FROM counts WHERE slot > ? LIMIT 1", (now,)).fetchone():
            run(
                "INSERT INTO counts SELECT name, :now, sum(count) FROM counts WHERE slot > :now GROUP BY name "
                "ON CONFLICT (name, slot) DO UPDATE SET count = count + excluded.count",
                {"now": now},
            )
            run("DELETE FROM counts WHERE slot > ?", (now,))

    def close(self) -> None:
        self._connection.close()


class Windows:
    """Counts by name over the last minute. Not thread-safe; no method raises."""

    def __init__(
        self, path: Path | None = None, processes: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`path`: the file that `processes` share, None to count in memory alone; `clock` gives seconds.

        While the file cannot be used, which is logged, each process counts for itself with its part of the limits.
        """
        self._path = path
        self._processes = processes
        self._clock = clock
        self._memory = _Memory()
        self._file: _File | None = None
        self._failed_at: float | None = None
        self._swept = self._slot()

    def fits(self, name: str, amount: int, limit: int) -> bool:
        """Whether this amount more would be within the limit."""
        return sum(count for _, count in self._counts(name)) + amount <= self._limit(limit)

    def take(self, name: str, limit: int) -> bool:
        """Count one, unless that is over the limit; whether it was counted."""
        now = self._now()
        return self._run(lambda store: store.add(name, now, 1, self._limit(limit)))

    def add(self, name: str, amount: int) -> None:
        """Count an amount that was used, be it over the limit or not."""
        now = self._now()
        self._run(lambda store: store.add(name, now, amount, None))

    def state(self, name: str, limit: int) -> tuple[int, int]:
        """What is left of the limit, and in how many whole seconds, from 1 to 60, one more fits."""
        limit, now = self._limit(limit), self._now()
        counts = self._counts(name)
        total = sum(count for _, count in counts)
        left, wait = max(0, limit - total), 1
        for slot, count in counts:
            if total < limit:
                break
            total -= count
            wait = math.ceil((slot + _SLOTS + 1 - now) / _PER_SECOND)
        return left, min(WINDOW_SECONDS, max(1, wait))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _counts(self, name: str) -> list[tuple[int, int]]:
        now = self._now()
        return self._run(lambda store: store.counts(name, now))

    def _limit(self, limit: int) -> int:
        alone = self._path is not None and self._file is None
        return math.ceil(limit / self._processes) if alone else limit

    def _slot(self) -> int:
        return int(self._clock() * _PER_SECOND)

    def _now(self) -> int:
        now = self._slot()
        if not 0 <= now - self._swept < _SWEEP_SLOTS:
            self._swept = now
            self._memory.sweep(now)
            self._run(lambda store: store.sweep(now))
        return now

    def _run(self, what: Callable[[_Store], _T]) -> _T:
        """Do something in the shared file, or in memory where there is none or it cannot be used."""
        if self._path is None or self._failed_lately():
            return what(self._memory)
        try:
            if self._file is None:
                self._file = _File(self._path)
            done = what(self._file)
        except sqlite3.Error as error:
            if self._failed_at is None:
                _log.error(
                    "%s cannot be used (%s): until it can, each worker counts for itself, with its part of the limits "
                    "of each key; make room in the folder of TMPDIR",
                    self._path,
                    error,
                )
            self._failed_at = time.monotonic()
            self.close()
            self._file = None
            return what(self._memory)
        if self._failed_at is not None:
            self._failed_at = None
            _log.warning("%s can be used again: the workers count together", self._path)
        return done

    def _failed_lately(self) -> bool:
        return self._failed_at is not None and time.monotonic() - self._failed_at < _RETRY_SECONDS
