"""What the runners of single calls and of batches share: costs, the journal, and the reasons to stop early."""

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

# Failures that every other call would meet too, and what to do about them.
FATAL = {
    Failure.AUTH: "check the key in the variable that --api-key-env names, and what it may use",
    Failure.MISSING: "check --base-url (with its /v1) and --model",
    Failure.QUOTA: "the account has no credit left",
}
AGAIN = "; all answers so far are kept: run the same command again to continue"


class Stop(NamedTuple):
    """Why a run stopped early: `reason` is a Failure, `batch`, `budget` or `interrupted`; `message` is for the user."""

    reason: str
    message: str


class Account(NamedTuple):
    """Where calls are recorded, at which prices they are charged, and the budget that limits them."""

    journal: Journal
    prices: Price
    budget: Budget


class CallRunner:
    """Base of the runners. `failures` counts failed attempts by kind; `given_up` has the error of each call, by key,
    that is not tried again.
    """

    def __init__(self, account: Account, *, patience_seconds: float) -> None:
        """`patience_seconds`: how long to go on without a single reply."""
        self._journal, self._prices, self._budget = account
        self._patience = patience_seconds
        self._stop: Stop | None = None
        self._stopping = asyncio.Event()
        self._attempts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.given_up: dict[str, str] = {}

    def stop(self, reason: str, message: str) -> None:
        """Start no more calls; those in flight are completed. Later calls of this method have no effect."""
        if self._stop is None:
            self._stop = Stop(reason, message)
            self._stopping.set()

    def _worst(self, call: Call) -> int:
        """The most, in picodollars, that a call can cost."""
        return worst_case(self._prices, call.prompt_bound(), call.max_tokens)

    def _replied(self, key: str, reply: Reply, worst: int, *, sync: bool = True) -> None:
        """Record a reply and release the reserved `worst` case (picodollars); `sync` as in `Journal.replied`."""
        # Without reported usage the cost is not known: the worst case counts against the budget.
        spent = cost(reply.usage, self._prices).total if reply.usage.complete else 0
        possible = 0 if reply.usage.complete else worst
        self._journal.replied(key, reply, cost=spent, possible=possible, sync=sync)
        self._budget.settle(worst, spent=spent, possible=possible)

    def _failed(self, key: str, error: CallFailed, worst: int) -> None:
        """Record a failed attempt, release its worst case, and stop if every other call would fail too."""
        possible = worst if error.maybe_paid else 0
        self._journal.failed(key, error.kind, possible=possible)
        self._budget.settle(worst, possible=possible)
        self.failures[error.kind] += 1
        if error.kind in FATAL:
            self.stop(error.kind, f"{error}: {FATAL[error.kind]}{AGAIN}")

    def _stop_for_budget(self, call: Call) -> None:
        self.stop(
            "budget",
            f"the next call may cost up to {plain(self._worst(call))} USD, and up to {plain(self._budget.taken)} of "
            f"{plain(self._budget.limit or 0)} USD are already spent; raise --max-usd to continue",
        )

    async def _wait(self, seconds: float) -> None:
        """Sleep, or return early once the run is to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
