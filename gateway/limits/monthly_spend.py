"""Spend in the current calendar month (UTC) by name: the ledger's sum, read periodically, plus what was settled since.

Gateways on one ledger share the sum; what others settled since the last read is not in it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.budgets import month_start

_log = logging.getLogger("breakeven.spending")

_FLUSH_SECONDS = 2.0


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

    def unread(self, name: str) -> int:
        """The part of `of` that this process has added since the ledger was read."""
        return self._since.get(name, 0)

    @property
    def known(self) -> bool:
        """Whether the ledger was read in this month."""
        return self._month == month_start(self._clock())

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
