"""Running work that may hang in a thread of its own, which keeps neither the event loop nor the process waiting."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


async def in_own_thread(work: Callable[[], _Result], seconds: float, name: str) -> _Result:
    """What `work` returns or raises. Raises TimeoutError where it takes longer, and leaves the thread to itself.

    An exit of the thread or the process that `work` raises becomes a RuntimeError.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def settle(result: _Result | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: _Result | None = None
        error: Exception | None = None
        try:
            result = work()
        except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as raised:
            # A future cannot hold a StopIteration, and the loop would end with an exit.
            if isinstance(raised, Exception) and not isinstance(raised, StopIteration):
                error = raised
            else:
                error = RuntimeError(type(raised).__name__)
        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    async with asyncio.timeout(seconds):
        return await done
