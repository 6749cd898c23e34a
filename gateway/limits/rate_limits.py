"""Limits per client key: requests and tokens per minute, USD per calendar month.

Rate limits use the fixed windows of the `limits` library, stored in a small SQLite file so that workers share them. The
monthly spend is read from the ledger periodically, plus what this process has settled since.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from limits import RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from breakeven.gateway.accounting.money import picodollars
from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.errors import RequestError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.limits.monthly_spend import MonthlySpend

_REFRESH_SECONDS = 5.0


class WindowStore(Storage):
    """Storage of the `limits` library: expiring counters in a SQLite file, or in memory for one process."""

    STORAGE_SCHEME = None

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._connection = sqlite3.connect(
            ":memory:" if path is None else path, timeout=1.0, isolation_level=None, check_same_thread=False
        )
        # No durability: counters lost in a power failure would have expired within a minute.
        self._connection.execute("PRAGMA journal_mode=MEMORY")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS windows (key TEXT PRIMARY KEY, count INTEGER NOT NULL, until REAL NOT NULL)"
        )

    @property
    def base_exceptions(self) -> type[Exception]:
        return sqlite3.Error

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = self._clock()
        row = self._connection.execute(
            "INSERT INTO windows VALUES (:key, :amount, :until) ON CONFLICT (key) DO UPDATE SET "
            "count = CASE WHEN until <= :now THEN :amount ELSE count + :amount END, "
            "until = CASE WHEN until <= :now THEN :until ELSE until END RETURNING count",
            {"key": key, "amount": amount, "until": now + expiry, "now": now},
        ).fetchone()
        return int(row[0])

    def get(self, key: str) -> int:
        return int(self._unexpired(key)[0])

    def get_expiry(self, key: str) -> float:
        return float(self._unexpired(key)[1])

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        return self._connection.execute("DELETE FROM windows").rowcount

    def clear(self, key: str) -> None:
        self._connection.execute("DELETE FROM windows WHERE key = ?", (key,))

    def close(self) -> None:
        """Close the database connection."""
        self._connection.close()

    def _unexpired(self, key: str) -> tuple[int, float]:
        now = self._clock()
        query = "SELECT count, until FROM windows WHERE key = ? AND until > ?"
        found: tuple[int, float] | None = self._connection.execute(query, (key, now)).fetchone()
        return found or (0, now)


class Quotas:
    """Admits or rejects requests by the limits of their client key."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._clock = clock
        self._store = WindowStore(Path(folder) / "quotas.sqlite" if folder else None, clock)
        self._windows = FixedWindowRateLimiter(self._store)
        self._spending = MonthlySpend(
            ledger, lambda month: {str(one.group[0]): one.cost for one in ledger.sums(("key",), month)}, clock
        )

    def admit(self, key: ClientKey | None, *, free: bool = False) -> bool:
        """Check the limits for a request of this key; None is a gateway without keys. `free`: it costs nothing, so that
        only the limit of requests a minute holds.

        Returns True if it may go only to the student because the budget is spent. Raises RequestError 429 if a limit is
        reached, or the budget is spent and `over_budget` says to refuse.
        """
        if key is None or not key.limited:
            return False
        for kind, amount in (("requests", key.requests_per_minute), ("tokens", key.tokens_per_minute)):
            if amount is None or (free and kind == "tokens"):
                continue
            window = RateLimitItemPerMinute(amount)
            if not self._windows.test(window, key.name, kind):
                raise self._rate_limited(window, key.name, kind)
        if free or key.monthly_budget_usd is None or self.spent(key.name) < picodollars(key.monthly_budget_usd):
            return False
        if key.over_budget == "student":
            return True
        raise self.over_budget()

    def count(self, key: ClientKey | None) -> None:
        """Count an admitted request that nothing else refused. Raises RequestError 429 if another process took the last
        place.
        """
        if key is None or key.requests_per_minute is None:
            return
        window = RateLimitItemPerMinute(key.requests_per_minute)
        if not self._windows.hit(window, key.name, "requests"):
            raise self._rate_limited(window, key.name, "requests")

    def over_budget(self) -> RequestError:
        """The 429 for a request over the monthly budget; retry-after is the start of the next month."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        following = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
        return RequestError(
            429,
            "This key's budget for the month is spent; ask the operator of the gateway for more.",
            type="insufficient_quota",
            code="insufficient_quota",
            headers={"retry-after": str(int((following - now).total_seconds()) + 1)},
        )

    def settle(self, key: ClientKey | None, record: RequestRecord) -> None:
        """Count the tokens and the cost of a settled request."""
        if key is None or not key.limited:
            return
        if key.tokens_per_minute is not None:
            tokens = sum(attempt.usage.prompt + attempt.usage.output for attempt in record.attempts)
            if tokens:
                self._windows.hit(RateLimitItemPerMinute(key.tokens_per_minute), key.name, "tokens", cost=tokens)
        if key.monthly_budget_usd is not None:
            self._spending.add(key.name, sum(attempt.cost.total for attempt in record.attempts))

    def spent(self, name: str) -> int:
        """Picodollars that the key of this name has spent this month, as far as this process knows."""
        return self._spending.of(name)

    async def run(self, keys: Callable[[], list[ClientKey]]) -> None:
        """Until cancelled, read the ledger every 5 seconds while any of `keys()` has a budget."""
        while True:
            if any(key.monthly_budget_usd is not None for key in keys()):
                await self.refresh()
            await asyncio.sleep(_REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Read this month's spend of all keys from the ledger; keeps the previous sums if that fails."""
        await self._spending.refresh()

    def close(self) -> None:
        """Close the store of the rate limit counters."""
        self._store.close()

    def _rate_limited(self, window: RateLimitItemPerMinute, name: str, kind: str) -> RequestError:
        reset, remaining = self._windows.get_window_stats(window, name, kind)
        seconds = max(1, round(reset - self._clock()))
        return RequestError(
            429,
            f"This key's limit of {window.amount} {kind} a minute is reached; try again in {seconds} s.",
            type="rate_limit_error",
            code="rate_limit_exceeded",
            headers={
                "retry-after": str(seconds),
                f"x-ratelimit-limit-{kind}": str(window.amount),
                f"x-ratelimit-remaining-{kind}": str(remaining),
                f"x-ratelimit-reset-{kind}": f"{seconds}s",
            },
        )
