"""What asking one call at a time and asking in batches have in common: why a run stops, and what an outcome costs."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import NamedTuple

from breakeven.gateway.accounting.money import plain
from breakeven.gateway.accounting.prices import Price, cost
from breakeven.models.client.budget import Budget, worst_case
from breakeven.models.client.chat import Call, CallFailed, Failure, Reply
from breakeven.models.client.journal import Journal

# Failures after which no other call can do better, and what to do about them.
FATAL = {
    Failure.AUTH: "check the key in the variable that --api-key-env names, and what it may use",
    Failure.MISSING: "check --base-url (with its /v1) and --model",
    Failure.QUOTA: "the account has no credit left",
}
AGAIN = "; all answers so far are kept, the same command goes on from there"


class Stop(NamedTuple):
    """Why a run ended before its work did: one of the failures, `budget` or `interrupted`."""

    reason: str
    message: str


class Asker:
    """`failures` counts failed attempts by kind; `given_up` has why by key."""

    def __init__(self, journal: Journal, prices: Price, budget: Budget, *, patience_seconds: float) -> None:
        self._journal = journal
        self._prices = prices
        self._budget = budget
        self._patience = patience_seconds
        self._stop: Stop | None = None
        self._stopping = asyncio.Event()
        self._attempts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.given_up: dict[str, str] = {}

    def stop(self, reason: str, message: str) -> None:
        """Ask nothing more; what is under way is not lost. The first reason stands."""
        if self._stop is None:
            self._stop = Stop(reason, message)
            self._stopping.set()

    def _worst(self, call: Call) -> int:
        return worst_case(self._prices, call.prompt_bound(), call.max_tokens)

    def _replied(self, key: str, reply: Reply, worst: int, *, sync: bool = True) -> None:
        # Without usage nobody knows the cost: the worst case counts against the budget.
        spent = cost(reply.usage, self._prices).total if reply.usage.complete else 0
        possible = 0 if reply.usage.complete else worst
        self._journal.replied(key, reply, cost=spent, possible=possible, sync=sync)
        self._budget.settle(worst, spent=spent, possible=possible)

    def _failed(self, key: str, error: CallFailed, worst: int) -> None:
        possible = worst if error.maybe_paid else 0
        self._journal.failed(key, error.kind, possible=possible)
        self._budget.settle(worst, possible=possible)
        self.failures[error.kind] += 1
        if error.kind in FATAL:
            self.stop(error.kind, f"{error}: {FATAL[error.kind]}{AGAIN}")

    def _out_of_money(self, call: Call) -> None:
        self.stop(
            "budget",
            f"the next call may cost up to {plain(self._worst(call))} USD, {plain(self._budget.taken)} of "
            f"{plain(self._budget.limit or 0)} USD are or may be spent; raise --max-usd to go on",
        )

    async def _wait(self, seconds: float) -> None:
        """So long, or until it is to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
