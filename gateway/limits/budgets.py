"""Monthly budgets that running requests reserve from, shared by all gateways on one ledger.

Each paid request holds the most that it may cost until its record is in the ledger. What a process holds without having
asked the ledger is at most a hundredth of the budget, and only while a quarter of it is left, so that ten processes
overspend by a tenth at most; beyond that each request asks the ledger, many in one transaction.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.budgets import Hold, charged
from breakeven.gateway.limits.monthly_spend import MonthlySpend

_log = logging.getLogger("breakeven.budgets")

# The part of a budget that a process may hold on its own, and the part that must then be left.
_ALONE, _LEFT = 100, 4
# How many requests one transaction is for at most, how long they wait for it, and for how long the ledger is then not
# asked.
_BATCH, _ANSWER_SECONDS, _PAUSE_SECONDS = 200, 10.0, 5.0
# A reservation outlives the time that its request may take by this: until its record is stored.
_MARGIN_SECONDS = 300.0


class _Held(NamedTuple):
    name: str
    amount: int
    in_ledger: bool


class Budgets:
    """What each name has spent of its monthly budget, and holds of it. Money is in picodollars."""

    def __init__(self, ledger: Ledger, processes: int = 1, clock: Callable[[], float] = time.time) -> None:
        """`processes`: how many workers spend from the same budgets; `clock` gives Unix seconds."""
        self._processes = processes
        self._store = ledger.budgets
        self._clock = clock
        self._spending = MonthlySpend(ledger, self._store.spent, clock)
        self._held: dict[str, _Held] = {}
        # Of each name the sum of what it holds, and the part of which the ledger does not know.
        self._sums: dict[str, int] = {}
        self._alone: dict[str, int] = {}
        self._waiting: list[tuple[Hold, asyncio.Future[bool | None]]] = []
        # Requests that the ledger holds something for and that have ended, with their cost.
        self._ended: dict[str, int | None] = {}
        self._committing: asyncio.Task[None] | None = None
        self._failed_at: float | None = None
        self._answered_at = 0.0

    def spent(self, name: str) -> int:
        """What this name has spent this month, as far as this process knows."""
        return self._spending.of(name)

    async def hold(self, request: str, name: str, amount: int, budget: int, seconds: float) -> bool:
        """Reserve for a request, by its id, all that it may cost within the next `seconds`; whether that fits.

        A later call for the same request replaces the amount. A name with nothing else running gets one request while
        its budget is not spent, whatever it may cost. While the ledger cannot be asked, each process has its part of
        what is left.
        """
        before = self._release(request)
        if self._small(name, amount, budget) and not (before is not None and before.in_ledger):
            self._hold(request, _Held(name, amount, in_ledger=False))
            return True
        until = int((self._clock() + seconds + _MARGIN_SECONDS) * 1e6)
        fits = await self._ask(Hold(request, name, amount, budget, until))
        if fits is None:
            # As if each of the others held as much.
            held = self._sums.get(name, 0)
            known = self.spent(name) + held * self._processes
            fits = known + amount * self._processes <= budget or (held == 0 and known < budget)
        if fits:
            self._hold(request, _Held(name, amount, in_ledger=True))
        elif before is not None:
            self._hold(request, before)
        return fits

    def release(self, request: str, record: RequestRecord | None) -> None:
        """Let go of what an ended request holds; `record` is what the ledger gets of it, None for nothing."""
        held = self._release(request)
        if held is not None and held.in_ledger:
            self._ended[request] = None if record is None else charged(record)
            self._commit_soon()

    def add(self, name: str, record: RequestRecord) -> None:
        """Add what a settled request costs to what its name has spent."""
        self._spending.add(name, charged(record))

    async def refresh(self, max_age_seconds: float = 0.0) -> bool:
        """Read this month's spend of all names from the ledger; see `MonthlySpend.refresh`."""
        return await self._spending.refresh(max_age_seconds)

    async def finish(self) -> None:
        """Wait, at the end of the process, until the ledger knows what ended requests do not hold any longer."""
        if self._committing is not None:
            await asyncio.wait({self._committing}, timeout=_ANSWER_SECONDS)

    def _small(self, name: str, amount: int, budget: int) -> bool:
        alone = self._alone.get(name, 0) + self._spending.unread(name) + amount
        if alone * _ALONE > budget or not self._spending.known:
            return False
        return (self.spent(name) + self._sums.get(name, 0) + amount) * _LEFT <= budget * (_LEFT - 1)

    def _hold(self, request: str, held: _Held) -> None:
        self._held[request] = held
        self._sums[held.name] = self._sums.get(held.name, 0) + held.amount
        if not held.in_ledger:
            self._alone[held.name] = self._alone.get(held.name, 0) + held.amount

    def _release(self, request: str) -> _Held | None:
        held = self._held.pop(request, None)
        if held is not None:
            self._sums[held.name] -= held.amount
            if not held.in_ledger:
                self._alone[held.name] -= held.amount
        return held

    async def _ask(self, hold: Hold) -> bool | None:
        """Ask the ledger; None where it does not answer."""
        if self._failed_at is not None and time.monotonic() - self._failed_at < _PAUSE_SECONDS:
            return None
        answer: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((hold, answer))
        self._commit_soon()
        try:
            # On a busy machine many wait long: the ledger is given up only where it has not answered anybody lately.
            while not answer.done():
                await asyncio.wait({answer}, timeout=_ANSWER_SECONDS)
                if not answer.done() and time.monotonic() - self._answered_at >= _ANSWER_SECONDS:
                    self._say_failed("it does not answer")
                    return None
            return answer.result()
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.result():
                self._ended[hold.request] = None
                self._commit_soon()
            raise
        finally:
            # What it still gets is then given back.
            answer.cancel()

    def _commit_soon(self) -> None:
        if self._committing is None or self._committing.done():
            self._answered_at = time.monotonic()
            self._committing = asyncio.get_running_loop().create_task(self._commit())

    async def _commit(self) -> None:
        """Take all that waits to the ledger, in one transaction at a time."""
        while self._waiting or self._ended:
            waiting, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            ended, self._ended = self._ended, {}
            fits: list[bool] | list[None] = [None] * len(waiting)
            try:
                fits = await asyncio.to_thread(self._reserve, [hold for hold, _ in waiting], ended)
                self._failed_at = None
            except LedgerError as error:
                self._say_failed(str(error))
            self._answered_at = time.monotonic()
            for (hold, answer), fit in zip(waiting, fits, strict=True):
                if not answer.done():
                    answer.set_result(fit)
                elif fit:
                    # Nobody waited for it.
                    self._ended[hold.request] = None

    def _reserve(self, wanted: list[Hold], ended: Mapping[str, int | None]) -> list[bool]:
        return self._store.reserve(wanted, ended, int(self._clock() * 1e6))

    def _say_failed(self, why: str) -> None:
        before, self._failed_at = self._failed_at, time.monotonic()
        if before is None:
            _log.error("budgets are held by this process alone, since the ledger cannot be used: %s", why)
