"""Many concurrent calls through one API: with concurrency control, retries, a budget, and a journal of paid replies."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from breakeven.models.client.aimd import AimdLimit
from breakeven.models.client.call_runner import AGAIN, Account, CallRunner, Stop
from breakeven.models.client.chat import Call, CallFailed, Chat, Failure, Reply

_ATTEMPTS = 5
# How many consecutive failures of a kind that retries do not help stop the run. Rejected requests may be more: once
# there were answers, they are more likely due to some prompts than to the settings.
_SAME_IN_A_ROW = 5
_BAD_IN_A_ROW = 20


class _Failed(NamedTuple):
    """A failed attempt, sent at `sent_at` (seconds, monotonic clock)."""

    call: Call
    sent_at: float
    error: CallFailed


class Pool(CallRunner):
    """Runs up to `concurrency` calls at once. `changed` is called whenever a call ends.

    `patience_seconds`: how long to go on without a single reply while the API rejects calls.
    """

    def __init__(
        self,
        chat: Chat,
        account: Account,
        *,
        concurrency: int = 16,
        patience_seconds: float = 300.0,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(account, patience_seconds=patience_seconds)
        self._chat = chat
        self._limit = AimdLimit(concurrency)
        self._changed = changed
        self._in_a_row: Counter[Failure] = Counter()
        self._replied_at = time.monotonic()

    async def run(self, calls: Sequence[Call]) -> Stop | None:
        """Send the calls that have no reply in the journal yet, and record the replies there.

        Returns why it stopped early, or None once all calls were sent.
        """
        seen = set(self._journal.replies)
        waiting: deque[Call] = deque()
        for call in calls:
            if call.key not in seen:
                seen.add(call.key)
                waiting.append(call)
        running: dict[asyncio.Task[Reply | _Failed], tuple[Call, int]] = {}
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

    def _launch(self, waiting: deque[Call], running: dict[asyncio.Task[Reply | _Failed], tuple[Call, int]]) -> None:
        while waiting and self._stop is None and len(running) < self._limit.limit:
            if time.monotonic() < self._limit.not_before:
                return
            call = waiting[0]
            worst = self._worst(call)
            if not self._budget.reserve(worst):
                return
            waiting.popleft()
            self._journal.sent(call.key, worst)
            running[asyncio.create_task(self._send(call))] = (call, worst)

    async def _send(self, call: Call) -> Reply | _Failed:
        sent_at = time.monotonic()
        try:
            return await self._chat.complete(call)
        except CallFailed as error:
            return _Failed(call, sent_at, error)

    async def _next(self, waiting: deque[Call], running: dict[asyncio.Task[Reply | _Failed], tuple[Call, int]]) -> None:
        pause = self._limit.not_before - time.monotonic()
        held = waiting and pause > 0 and len(running) < self._limit.limit
        done, _ = await asyncio.wait(
            running, timeout=max(pause, 0.01) if held else None, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            call, worst = running.pop(task)
            result = task.result()
            if isinstance(result, Reply):
                self._record(call, result, worst)
            else:
                self._retry(result, worst, waiting)
            self._changed()

    async def _pause(self, call: Call) -> None:
        """Called while no call is in flight and none could start: wait out the backoff, or stop for the budget."""
        pause = self._limit.not_before - time.monotonic()
        if pause <= 0:
            if self._budget.limit is not None and self._budget.taken + self._worst(call) > self._budget.limit:
                self._stop_for_budget(call)
            return
        await self._wait(pause)

    def _record(self, call: Call, reply: Reply, worst: int) -> None:
        self._replied(call.key, reply, worst)
        self._limit.success()
        self._in_a_row.clear()
        self._replied_at = time.monotonic()
        self.given_up.pop(call.key, None)

    def _retry(self, failed: _Failed, worst: int, waiting: deque[Call]) -> None:
        """Record a failed attempt, and enqueue its call again unless the run stops or the call is given up."""
        call, error = failed.call, failed.error
        self._failed(call.key, error, worst)
        self._in_a_row[error.kind] += 1
        many = _BAD_IN_A_ROW if error.kind is Failure.BAD and self._journal.replies else _SAME_IN_A_ROW
        permanent = error.kind in (Failure.BAD, Failure.INVALID, Failure.CONNECT)
        if permanent and self._in_a_row[error.kind] >= many:
            self.stop(error.kind, f"{error}; {many} times without an answer in between{AGAIN}")
        if error.kind is Failure.BAD:
            self.given_up[call.key] = str(error)
            return
        now = time.monotonic()
        if error.kind is not Failure.INVALID:
            self._limit.rejected(now, failed.sent_at, error.retry_after, random.random())
        if now - self._replied_at > self._patience or self._limit.not_before - self._replied_at > self._patience:
            self.stop(error.kind, f"{error}; no answer for {self._patience:.0f} s{AGAIN}")
        self._attempts[call.key] += error.kind is not Failure.RATE
        if self._attempts[call.key] >= _ATTEMPTS:
            self.given_up[call.key] = str(error)
            return
        waiting.append(call)
