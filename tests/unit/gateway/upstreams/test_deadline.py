"""The movable deadline of a task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from breakeven.gateway.upstreams.deadline import Deadline


def cut_after(work: Callable[[Deadline], Awaitable[None]], total: float = 5.0) -> float:
    """Seconds until the deadline cancelled the work."""

    async def main() -> float:
        started = time.monotonic()
        deadline = Deadline(total)
        try:
            await work(deadline)
        except asyncio.CancelledError:
            assert deadline.take_cancellation()
            return time.monotonic() - started
        finally:
            deadline.close()
        return -1.0

    return asyncio.run(main())


async def _within(deadline: Deadline) -> None:
    deadline.within(0.1)
    await asyncio.sleep(2)


async def _moved(deadline: Deadline) -> None:
    for _ in range(6):
        deadline.within(0.15)
        await asyncio.sleep(0.05)
    await asyncio.sleep(2)


async def _extended(deadline: Deadline) -> None:
    deadline.within(0.1)
    deadline.extend(0.3)
    deadline.extend(0.01)
    await asyncio.sleep(2)


async def _never_beyond_the_total(deadline: Deadline) -> None:
    deadline.within(9)
    deadline.extend(9)
    await asyncio.sleep(2)


@pytest.mark.parametrize(
    ("work", "total", "least"),
    [(_within, 5.0, 0.1), (_moved, 5.0, 0.4), (_extended, 5.0, 0.3), (_never_beyond_the_total, 0.2, 0.2)],
)
def test_the_task_is_cancelled_when_the_deadline_passes(
    work: Callable[[Deadline], Awaitable[None]], total: float, least: float
) -> None:
    # A busy machine is late, never early.
    assert least - 0.01 < cut_after(work, total) < least + 0.5


def test_a_cancellation_from_elsewhere_is_not_taken() -> None:
    async def main() -> None:
        deadline = Deadline(5)
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.02, task.cancel)
        try:
            await asyncio.sleep(2)
        except asyncio.CancelledError:
            assert not deadline.take_cancellation()
            task.uncancel()
        finally:
            deadline.close()

    asyncio.run(main())
