"""Many calls through one API: paced, retried, within a budget, each paid reply kept at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from breakeven.gateway.accounting.prices import Price
from breakeven.models.client.budget import Budget
from breakeven.models.client.chat import Call, CallFailed, Chat, Failure, Reply
from breakeven.models.client.journal import Journal
from breakeven.models.client.pace import Pace
from breakeven.models.client.stops import AGAIN, Asker, Stop

_ATTEMPTS = 5
_SAME_IN_A_ROW = 5
# Once there were answers, refused requests are more likely the fault of these prompts than of the settings.
_BAD_IN_A_ROW = 20


class _Trouble(NamedTuple):
    call: Call
    sent_at: float
    error: CallFailed


class Pool(Asker):
    """Runs calls. `patience_seconds`: how long to go on without a single reply while the API turns calls away.

    `changed` is called after each end of a call.
    """

    def __init__(
        self,
        chat: Chat,
        journal: Journal,
        prices: Price,
        budget: Budget,
        *,
        concurrency: int = 16,
        patience_seconds: float = 300.0,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(journal, prices, budget, patience_seconds=patience_seconds)
        self._chat = chat
        self._pace = Pace(concurrency)
        self._changed = changed
        self._in_a_row: Counter[Failure] = Counter()
        self._replied_at = time.monotonic()

    async def run(self, calls: Sequence[Call]) -> Stop | None:
        """Ask what has no reply yet; None where all was asked. Replies are in the journal, not returned."""
        seen = set(self._journal.replies)
        waiting: deque[Call] = deque()
        for call in calls:
            if call.key not in seen:
                seen.add(call.key)
                waiting.append(call)
        running: dict[asyncio.Task[Reply | _Trouble], tuple[Call, int]] = {}
        self._replied_at = time.monotonic()
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
            worst = self._worst(call)
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
            if self._budget.limit is not None and self._budget.taken + self._worst(call) > self._budget.limit:
                self._out_of_money(call)
            return
        await self._wait(pause)

    def _keep(self, call: Call, reply: Reply, worst: int) -> None:
        self._replied(call.key, reply, worst)
        self._pace.success()
        self._in_a_row.clear()
        self._replied_at = time.monotonic()
        self.given_up.pop(call.key, None)

    def _retry(self, trouble: _Trouble, worst: int, waiting: deque[Call]) -> None:
        call, error = trouble.call, trouble.error
        self._failed(call.key, error, worst)
        self._in_a_row[error.kind] += 1
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
        if now - self._replied_at > self._patience or self._pace.not_before - self._replied_at > self._patience:
            self.stop(error.kind, f"{error}; no answer for {self._patience:.0f} s of patience{AGAIN}")
        self._attempts[call.key] += error.kind is not Failure.RATE
        if self._attempts[call.key] >= _ATTEMPTS:
            self.given_up[call.key] = str(error)
            return
        waiting.append(call)
