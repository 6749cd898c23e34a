"""What shadow traffic may still cost this month: the ledger's figure, read now and then, and what came since."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from gateway.economics.prices import picodollars
from gateway.errors import LedgerError
from gateway.ledger import Ledger
from gateway.record import RequestRecord
from gateway.services import Services
from router.policy import Reason

_log = logging.getLogger("breakeven.shadow")

_REFRESH_SECONDS = 10.0
_FLUSH_SECONDS = 2.0


class Budget:
    """Gateways on one ledger share it; each may pass it by what it has under way, and by what the others settled
    since it last read.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._stored = 0
        self._since = 0
        self._month = 0
        self._read_at = float("-inf")

    def add(self, record: RequestRecord) -> None:
        """Count what a comparison has cost."""
        self._since += sum(attempt.cost.total for attempt in record.attempts)

    async def left(self, services: Services) -> bool:
        """Whether the month's money is not spent. While the ledger cannot be read nobody knows, and it is not."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        month = int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp() * 1e6)
        if month != self._month or time.monotonic() - self._read_at > _REFRESH_SECONDS:
            added = self._since
            try:
                stored = await asyncio.to_thread(_spent, services.ledger, month)
            except LedgerError as error:
                _log.error("what shadow traffic has cost cannot be read, none is drawn: %s", error)
                return False
            if stored is None:
                return False
            self._stored, self._month, self._read_at = stored, month, time.monotonic()
            self._since -= added
        return self._stored + self._since < picodollars(services.config.shadow.monthly_budget_usd)


def _spent(ledger: Ledger, month: int) -> int | None:
    # What was settled and is not in the database yet would be forgotten.
    if not ledger.flush(_FLUSH_SECONDS):
        return None
    return sum(one.cost for one in ledger.sums((), month, reason=Reason.SHADOW))
