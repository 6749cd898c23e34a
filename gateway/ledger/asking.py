"""Reading and writing the ledger for requests, in threads that a database which hangs may hold."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from breakeven.gateway.errors import LedgerAway

_T = TypeVar("_T")

# More at once than the database has connections would only wait for one.
_MOST = 8
# Whoever asked is told that the database does not answer.
_SECONDS = 20.0


class Asking:
    """Threads of their own: those of the event loop also resolve names and parse large bodies, and must be free."""

    def __init__(self, away: Callable[[], str | None]) -> None:
        """`away`: why the database cannot be used now, None where it can as far as is known."""
        self._away = away
        self._free = asyncio.Semaphore(_MOST)

    async def run(self, what: Callable[[], _T]) -> _T:
        """What `what` returns or raises.

        Raises LedgerAway at once while the database is away, and where it takes longer than 20 s; the thread goes on.
        """
        if (why := self._away()) is not None:
            raise LedgerAway(why)
        try:
            async with asyncio.timeout(_SECONDS):
                await self._free.acquire()
                return await self._started(what)
        except TimeoutError:
            raise LedgerAway(f"the database does not answer within {_SECONDS:.0f} s") from None

    def _started(self, what: Callable[[], _T]) -> asyncio.Future[_T]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()
        context = contextvars.copy_context()

        def end(result: _T | None, error: Exception | None) -> None:
            self._free.release()
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]

        def ask() -> None:
            result, failed = None, None
            try:
                result = context.run(what)
            except Exception as error:
                failed = error
            if not loop.is_closed():
                loop.call_soon_threadsafe(end, result, failed)

        # Not one of a pool, whose threads the interpreter waits for at its end.
        threading.Thread(target=ask, name="breakeven-asking", daemon=True).start()
        return answer
