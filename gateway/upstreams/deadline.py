"""Timeouts: a movable deadline for a task that relays a stream, and a timeout for reading a request body."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from breakeven.gateway.errors import too_slow


@contextlib.asynccontextmanager
async def arriving(seconds: float) -> AsyncIterator[None]:
    """Run the block, which reads a request body. Raises RequestError 408 if it takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise too_slow(seconds) from None


class Deadline:
    """Cancels the task that created it when the deadline passes; `take_cancellation` tells whether it did.

    It can be moved, but never beyond `total_seconds` after its creation. Moving it for every event of a stream is
    cheap: only an attribute changes, and the timer re-arms itself when it fires early.
    """

    def __init__(self, total_seconds: float, shortest_seconds: float | None = None) -> None:
        """`shortest_seconds`: the shortest time that `within` will be called with; the timer is first armed for it."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        now = self._loop.time()
        self._when = self._latest = now + total_seconds
        self._armed = self._latest if shortest_seconds is None else min(self._latest, now + shortest_seconds)
        self._timer = self._loop.call_at(self._armed, self._fire)
        self._expired = False

    def within(self, seconds: float) -> None:
        """Move the deadline to `seconds` from now."""
        self._when = when = min(self._loop.time() + seconds, self._latest)
        if when < self._armed:
            self._timer.cancel()
            self._arm(when)

    def extend(self, seconds: float) -> None:
        """Move the deadline to `seconds` from now if it would pass earlier."""
        self._when = max(self._when, min(self._loop.time() + seconds, self._latest))

    def until_total(self) -> None:
        """Move the deadline as far as it goes, while something other than the upstream is awaited."""
        self._when = self._latest

    @property
    def at_total(self) -> bool:
        """Whether it is the total time that ends at the deadline, not one that `within` or `extend` gave."""
        return self._when >= self._latest

    def take_cancellation(self) -> bool:
        """Whether a caught cancellation was this deadline's and the only one; it is then undone (Task.uncancel)."""
        if not self._expired:
            return False
        self._expired = False
        return self._task.uncancel() == 0

    def close(self) -> None:
        """Cancel the timer; the task is not cancelled any more."""
        self._timer.cancel()

    def _arm(self, when: float) -> None:
        self._armed = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        if self._loop.time() < self._when:
            self._arm(self._when)
            return
        self._expired = True
        self._task.cancel()
