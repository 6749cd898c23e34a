"""Many calls through one API: paced, retried, within a budget, each paid reply kept at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from models.distill.chat import Call, CallFailed, Chat, Failure, Reply
from models.distill.journal import Journal
from models.distill.pace import Pace
from models.distill.spend import Budget, Prices, usd

# Failures after which no other call can do better, and what to do about them.
FATAL = {
    Failure.AUTH: "check the key in the variable that --api-key-env names, and what it may use",
    Failure.MISSING: "check --base-url (with its /v1) and --model",
    Failure.QUOTA: "the account has no credit left",
}
AGAIN = "; all answers so far are kept, the same command goes on from there"
_ATTEMPTS = 5
_SAME_IN_A_ROW = 5
# Once there were answers, refused requests are more likely the fault of these prompts than of the settings.
_BAD_IN_A_ROW = 20


class Stop(NamedTuple):
    """Why a run ended before its work did: one of the failures, `budget` or `interrupted`."""

    reason: str
    message: str


class _Trouble(NamedTuple):
    call: Call
    sent_at: float
    error: CallFailed


class Pool:
    """Runs calls. `patience_seconds`: how long to go on without a single reply while the API turns calls away.

    `changed` is called after each end of a call. `failures` counts failed attempts by kind.
    """

    def __init__(
        self,
        chat: Chat,
        journal: Journal,
        prices: Prices,
        budget: Budget,
        *,
        concurrency: int = 16,
        patience_seconds: float = 300.0,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._chat = chat
        self._journal = journal
        self._prices = prices
        self._budget = budget
        self._pace = Pace(concurrency)
        self._patience = patience_seconds
        self._changed = changed
        self._stop: Stop | None = None
        self._stopping = asyncio.Event()
        self._attempts: Counter[str] = Counter()
        self._in_a_row: Counter[Failure] = Counter()
        self._replied = time.monotonic()
        self.failures: Counter[str] = Counter()
        self.given_up: dict[str, str] = {}

    def stop(self, reason: str, message: str) -> None:
        """Start no more calls; those under way are waited for and kept."""
        if self._stop is None:
            self._stop = Stop(reason, message)
            self._stopping.set()

    async def run(self, calls: Sequence[Call]) -> Stop | None:
        """Ask what has no reply yet; None where all was asked. Replies are in the journal, not returned."""
        seen = set(self._journal.replies)
        waiting: deque[Call] = deque()
        for call in calls:
            if call.key not in seen:
                seen.add(call.key)
                waiting.append(call)
        running: dict[asyncio.Task[Reply | _Trouble], tuple[Call, int]] = {}
        self._replied = time.monotonic()
        try:
            while running or (waiting and self._stop is None):
                self._launch(waiting, running)
                if running:
                    await self._next(waiting, running)
                elif waiting and self._stop is None:
                    await self._pause(waiting[0])
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return self._stop

    def _launch(self, waiting: deque[Call], running: dict[asyncio.Task[Reply | _Trouble], tuple[Call, int]]) -> None:
        while waiting and self._stop is None and len(running) < self._pace.limit:
            if time.monotonic() < self._pace.not_before:
                return
            call = waiting[0]
            worst = self._prices.worst(call.prompt_bound(), call.max_tokens)
            if not self._budget.reserve(worst):
                return
            waiting.popleft()
            self._journal.sent(call.key, worst)
            running[asyncio.create_task(self._ask(call))] = (call, worst)

    async def _ask(self, call: Call) -> Reply | _Trouble:
        sent_at = time.monotonic()
        try:
            return await self._chat.ask(call)
        except CallFailed as error:
            return _Trouble(call, sent_at, error)

    async def _next(
        self, waiting: deque[Call], running: dict[asyncio.Task[Reply | _Trouble], tuple[Call, int]]
    ) -> None:
        pause = self._pace.not_before - time.monotonic()
        held = waiting and pause > 0 and len(running) < self._pace.limit
        done, _ = await asyncio.wait(
            running, timeout=max(pause, 0.01) if held else None, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            call, worst = running.pop(task)
            result = task.result()
            if isinstance(result, Reply):
                self._keep(call, result, worst)
            else:
                self._retry(result, worst, waiting)
            self._changed()

    async def _pause(self, call: Call) -> None:
        """Nothing is under way and nothing could start: wait for the pace, or the budget is used up."""
        pause = self._pace.not_before - time.monotonic()
        if pause <= 0:
            if self._budget.limit is not None:
                worst = self._prices.worst(call.prompt_bound(), call.max_tokens)
                if self._budget.taken + worst > self._budget.limit:
                    self.stop(
                        "budget",
                        f"the next call may cost up to {usd(worst)} USD, {usd(self._budget.taken)} of "
                        f"{usd(self._budget.limit)} USD are or may be spent; raise --max-usd to go on",
                    )
            return
        try:
            await asyncio.wait_for(self._stopping.wait(), pause)
        except TimeoutError:
            return

    def _keep(self, call: Call, reply: Reply, worst: int) -> None:
        # Without usage nobody knows the cost: the worst case counts against the budget.
        spent = self._prices.cost(reply.usage) if reply.usage.complete else 0
        possible = 0 if reply.usage.complete else worst
        self._journal.replied(call.key, reply, cost=spent, possible=possible)
        self._budget.settle(worst, spent=spent, possible=possible)
        self._pace.success()
        self._in_a_row.clear()
        self._replied = time.monotonic()
        self.given_up.pop(call.key, None)

    def _retry(self, trouble: _Trouble, worst: int, waiting: deque[Call]) -> None:
        call, error = trouble.call, trouble.error
        possible = worst if error.maybe_paid else 0
        self._journal.failed(call.key, error.kind, possible=possible)
        self._budget.settle(worst, possible=possible)
        self.failures[error.kind] += 1
        self._in_a_row[error.kind] += 1
        if error.kind in FATAL:
            self.stop(error.kind, f"{error}: {FATAL[error.kind]}{AGAIN}")
        many = _BAD_IN_A_ROW if error.kind is Failure.BAD and self._journal.replies else _SAME_IN_A_ROW
        hopeless = error.kind in (Failure.BAD, Failure.NONSENSE, Failure.CONNECT)
        if hopeless and self._in_a_row[error.kind] >= many:
            self.stop(error.kind, f"{error}; {many} times, and no answer in between{AGAIN}")
        if error.kind is Failure.BAD:
            self.given_up[call.key] = str(error)
            return
        now = time.monotonic()
        if error.kind is not Failure.NONSENSE:
            self._pace.trouble(now, trouble.sent_at, error.retry_after, random.random())
        if now - self._replied > self._patience or self._pace.not_before - self._replied > self._patience:
            self.stop(error.kind, f"{error}; no answer for {self._patience:.0f} s of patience{AGAIN}")
        self._attempts[call.key] += error.kind is not Failure.RATE
        if self._attempts[call.key] >= _ATTEMPTS:
            self.given_up[call.key] = str(error)
            return
        waiting.append(call)
