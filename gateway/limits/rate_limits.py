"""Limits per client key: requests and tokens per minute, USD per calendar month."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from breakeven.gateway.accounting.money import picodollars
from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.errors import OverBudget, RequestError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.limits.budgets import Budgets
from breakeven.gateway.limits.windows import Windows

_REFRESH_SECONDS = 5.0
# In the folder that the workers of a gateway share.
_FILE = "limits.sqlite"


class Quotas:
    """Admits or rejects requests by the limits of their client key."""

    def __init__(
        self,
        ledger: Ledger,
        processes: int = 1,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`processes`: how many workers share the limits; the clocks give Unix seconds, and those that nobody sets."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._clock = clock
        self._windows = Windows(Path(folder) / _FILE if folder else None, processes, monotonic)
        self.budgets = Budgets(ledger, processes, clock)

    def admit(self, key: ClientKey | None, *, free: bool = False) -> bool:
        """Check the limits for a request of this key; None is a gateway without keys. `free`: it costs nothing, so that
        only the limit of requests a minute holds.

        Returns True if it may go only to the student because the budget is spent. Raises RequestError 429 if a limit is
        reached, or the budget is spent and `over_budget` says to refuse.
        """
        if key is None or not key.limited:
            return False
        for kind, limit in (("requests", key.requests_per_minute), ("tokens", key.tokens_per_minute)):
            if limit is None or (free and kind == "tokens"):
                continue
            if not self._windows.fits(f"{kind} {key.name}", 1, limit):
                raise self._rate_limited(kind, key.name, limit)
        if free or key.monthly_budget_usd is None or self.spent(key.name) < picodollars(key.monthly_budget_usd):
            return False
        if key.over_budget == "student":
            return True
        raise self.over_budget()

    def count(self, key: ClientKey | None) -> None:
        """Count an admitted request that nothing else refused. Raises RequestError 429 if another took the last place
        meanwhile.
        """
        if key is None or key.requests_per_minute is None:
            return
        if not self._windows.take(f"requests {key.name}", key.requests_per_minute):
            raise self._rate_limited("requests", key.name, key.requests_per_minute)

    def over_budget(self) -> OverBudget:
        """The 429 for a request over the monthly budget; retry-after is the start of the next month."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        following = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
        return OverBudget(
            429,
            "This key's budget for the month is spent; ask the operator of the gateway for more.",
            type="insufficient_quota",
            code="insufficient_quota",
            headers={"retry-after": str(int((following - now).total_seconds()) + 1)},
        )

    def does_not_fit(self, key: ClientKey) -> OverBudget:
        """The 429 for a request that may cost more than what its key's running requests leave of the budget."""
        if key.monthly_budget_usd is None or self.spent(key.name) >= picodollars(key.monthly_budget_usd):
            return self.over_budget()
        return OverBudget(
            429,
            "This request may cost more than what is left of the key's budget for the month beside its running "
            "requests; try again when these have ended, or send a smaller limit of output tokens.",
            type="insufficient_quota",
            code="insufficient_quota",
            headers={"retry-after": "1"},
        )

    async def hold(self, key: ClientKey, request: str, amount: int, seconds: float) -> bool:
        """Reserve picodollars of the budget for a request, by its id; see `Budgets.hold`. True without a budget."""
        if key.monthly_budget_usd is None:
            return True
        return await self.budgets.hold(request, key.name, amount, picodollars(key.monthly_budget_usd), seconds)

    def settle(self, key: ClientKey | None, record: RequestRecord, *, stored: bool = True) -> None:
        """Count the tokens and the cost of a settled request, those that were estimated among them, and let go of what
        it held of the budget. `stored`: the ledger gets the record.
        """
        if key is None or not key.limited:
            return
        if key.tokens_per_minute is not None:
            tokens = sum(
                attempt.usage.prompt + attempt.usage.output + attempt.estimated.prompt + attempt.estimated.output
                for attempt in record.attempts
            )
            if tokens:
                self._windows.add(f"tokens {key.name}", tokens)
        if key.monthly_budget_usd is not None:
            self.budgets.add(key.name, record)
            self.budgets.release(record.id, record if stored else None)

    def spent(self, name: str) -> int:
        """Picodollars that the key of this name has spent this month, as far as this process knows."""
        return self.budgets.spent(name)

    async def run(self, budgeted: Callable[[], bool]) -> None:
        """Until cancelled, read the ledger every 5 seconds while `budgeted()`: while any key has a budget."""
        while True:
            if budgeted():
                await self.refresh()
            await asyncio.sleep(_REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Read this month's spend of all keys from the ledger; keeps the previous sums if that fails."""
        await self.budgets.refresh()

    def close(self) -> None:
        """Close the store of the rate limit counters."""
        self._windows.close()

    def _rate_limited(self, kind: str, name: str, limit: int) -> RequestError:
        remaining, seconds = self._windows.state(f"{kind} {name}", limit)
        return RequestError(
            429,
            f"This key's limit of {limit} {kind} a minute is reached; try again in {seconds} s.",
            type="rate_limit_error",
            code="rate_limit_exceeded",
            headers={
                "retry-after": str(seconds),
                f"x-ratelimit-limit-{kind}": str(limit),
                f"x-ratelimit-remaining-{kind}": str(remaining),
                f"x-ratelimit-reset-{kind}": f"{seconds}s",
            },
        )
