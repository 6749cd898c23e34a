"""Spend in the current calendar month (UTC) by name: the ledger's sum, read periodically, plus what was settled since.

Gateways on one ledger share the sum. A budget can be exceeded by the requests in flight, and by what other gateways
settled since the last read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger

_log = logging.getLogger("breakeven.spending")

_FLUSH_SECONDS = 2.0


def month_start(seconds: float) -> int:
    """The start of the UTC calendar month of a time in seconds since the epoch, in microseconds since the epoch."""
    now = datetime.fromtimestamp(seconds, UTC)
    return int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp() * 1e6)


class MonthlySpend:
    """Picodollars spent this month, by name."""

    def __init__(
        self, ledger: Ledger, read: Callable[[int], Mapping[str, int]], clock: Callable[[], float] = time.time
    ) -> None:
        """`read` gives the ledger's sums since a time in microseconds since the epoch; `clock` gives Unix seconds."""
        self._ledger = ledger
        self._read = read
        self._clock = clock
        self._stored: Mapping[str, int] = {}
        self._since: dict[str, int] = {}
        self._month = 0
        self._read_at = float("-inf")
        # Two concurrent reads would both subtract what was added since the last one.
        self._reading = asyncio.Lock()

    def add(self, name: str, cost: int) -> None:
        """Add the cost (picodollars) of a settled request."""
        self._since[name] = self._since.get(name, 0) + cost

    def of(self, name: str) -> int:
        """Picodollars that this name has spent this month, as far as this process knows."""
        return self._stored.get(name, 0) + self._since.get(name, 0)

    async def refresh(self, max_age_seconds: float = 0.0) -> bool:
        """Read the ledger, unless that was done within `max_age_seconds`.

        False, with the previous sums kept, if it cannot be read.
        """
        async with self._reading:
            month = month_start(self._clock())
            if month == self._month and time.monotonic() - self._read_at <= max_age_seconds:
                return True
            added = dict(self._since)
            try:
                stored = await asyncio.to_thread(self._stored_since, month)
            except LedgerError as error:
                _log.error("cannot read this month's spend from the ledger: %s", error)
                return False
            if stored is None:
                return False
            self._stored, self._month, self._read_at = stored, month, time.monotonic()
            for name, cost in added.items():
                self._since[name] -= cost
            return True

    def _stored_since(self, month: int) -> Mapping[str, int] | None:
        # Without the flush, records still queued would be in neither the ledger's sum nor `_since`.
        return self._read(month) if self._ledger.flush(_FLUSH_SECONDS) else None
