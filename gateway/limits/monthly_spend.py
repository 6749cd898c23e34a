"""What was spent this calendar month, by name: the ledger's figure, read now and then, and what was settled since.

Gateways on one ledger share it; each may pass a budget by what it has under way, and by what the others settled since
it last read.
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
    """When the calendar month of that moment began in UTC, in microseconds since the epoch."""
    now = datetime.fromtimestamp(seconds, UTC)
    return int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp() * 1e6)


class Spending:
    """Picodollars by name. `read` gives the ledger's sums from a moment on, in microseconds."""

    def __init__(
        self, ledger: Ledger, read: Callable[[int], Mapping[str, int]], clock: Callable[[], float] = time.time
    ) -> None:
        self._ledger = ledger
        self._read = read
        self._clock = clock
        self._stored: Mapping[str, int] = {}
        self._since: dict[str, int] = {}
        self._month = 0
        self._read_at = float("-inf")
        # One reading at a time: what was added meanwhile would be taken back twice.
        self._reading = asyncio.Lock()

    def add(self, name: str, cost: int) -> None:
        """Count what was settled."""
        self._since[name] = self._since.get(name, 0) + cost

    def of(self, name: str) -> int:
        """What this name has spent this month, as far as is known here."""
        return self._stored.get(name, 0) + self._since.get(name, 0)

    async def refresh(self, max_age_seconds: float = 0.0) -> bool:
        """Read the ledger, unless it was read that recently. False where it cannot be read: the old figures stand."""
        async with self._reading:
            month = month_start(self._clock())
            if month == self._month and time.monotonic() - self._read_at <= max_age_seconds:
                return True
            added = dict(self._since)
            try:
                stored = await asyncio.to_thread(self._stored_since, month)
            except LedgerError as error:
                _log.error("what was spent this month cannot be read: %s", error)
                return False
            if stored is None:
                return False
            self._stored, self._month, self._read_at = stored, month, time.monotonic()
            for name, cost in added.items():
                self._since[name] -= cost
            return True

    def _stored_since(self, month: int) -> Mapping[str, int] | None:
        # What was settled and is not in the database yet is in `_since` until it is.
        return self._read(month) if self._ledger.flush(_FLUSH_SECONDS) else None
