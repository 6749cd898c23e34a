"""Deadlines: one that moves, cheap to move for every event of a stream, and one for the arrival of a body."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from breakeven.gateway.errors import too_slow


@contextlib.asynccontextmanager
async def arriving(seconds: float) -> AsyncIterator[None]:
    """Raises RequestError 408 where the block, which reads a body, is not through after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise too_slow(seconds) from None


class Deadline:
    """Cancels the current task when the deadline passes; `take` then tells that it was this one.

    `total_seconds` after the start nothing can move it further. Moving it is an assignment: the timer
    re-arms itself only when it fires early.
    """

    def __init__(self, total_seconds: float, soonest_seconds: float | None = None) -> None:
        """`soonest_seconds`: the shortest time that `within` will be called with, so that it need not re-arm."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        now = self._loop.time()
        self._when = self._last = now + total_seconds
        self._armed = self._last if soonest_seconds is None else min(self._last, now + soonest_seconds)
        self._timer = self._loop.call_at(self._armed, self._fire)
        self._passed = False

    def within(self, seconds: float) -> None:
        """Move to this many seconds from now."""
        self._when = when = min(self._loop.time() + seconds, self._last)
        if when < self._armed:
            self._timer.cancel()
            self._arm(when)

    def extend(self, seconds: float) -> None:
        """Leave at least this many seconds from now."""
        self._when = max(self._when, min(self._loop.time() + seconds, self._last))

    def total(self) -> None:
        """Move to the last moment: what waits now is not the upstream."""
        self._when = self._last

    def take(self) -> bool:
        """Whether a cancellation came from here; it is then taken back."""
        if not self._passed:
            return False
        self._passed = False
        return self._task.uncancel() == 0

    def close(self) -> None:
        """Never fire again."""
        self._timer.cancel()

    def _arm(self, when: float) -> None:
        self._armed = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        if self._loop.time() < self._when:
            self._arm(self._when)
            return
        self._passed = True
        self._task.cancel()
