"""Storing texts in the ledger, where the config consents: a bounded queue, written once a second.

Unlike the records of usage and cost, texts may be lost: those of the last second before a crash, and the oldest ones
while the database is unavailable. They never appear in logs, metrics or the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from breakeven.gateway.errors import LedgerError

_log = logging.getLogger("breakeven.texts")

_WRITE_SECONDS = 1.0
_BATCH = 500
_T = TypeVar("_T")


class TextQueue(Generic[_T]):
    """Texts of one kind that wait to be stored."""

    def __init__(self, kind: str, store: Callable[[list[_T]], None], longest: int) -> None:
        """`kind`: what they are, for the log. `store` writes some of them, and raises LedgerError. At most `longest`
        wait.
        """
        self._kind = kind
        self._store = store
        self._queue: deque[_T] = deque(maxlen=longest)

    def add(self, one: _T) -> None:
        """Queue one. Never waits."""
        self._queue.append(one)

    async def run(self) -> None:
        """Write the queue once a second until cancelled, and a last time then."""
        try:
            while True:
                await asyncio.sleep(_WRITE_SECONDS)
                if self._queue:
                    await asyncio.to_thread(self.flush)
        finally:
            self.flush()

    def flush(self) -> None:
        """Write all that wait. They stay queued where the ledger cannot be written; never raises."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            try:
                self._store(batch)
            except LedgerError as error:
                _log.error("%s cannot be stored: %s", self._kind, error)
                self._queue.extendleft(reversed(batch))
                return
