"""Storing texts in the ledger, where the config consents: a bounded queue, written once a second.

Unlike the records of usage and cost, texts may be lost: those of the last second before a crash, and the oldest ones
while the database is unavailable. They never appear in logs, metrics or the journal.
"""

from __future__ import annotations

import asyncio
import logging
import threading
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

    def __init__(
        self, kind: str, store: Callable[[list[_T]], None], longest: int, size: Callable[[_T], int], most: int
    ) -> None:
        """`kind`: what they are, for the log. `store` writes some of them, and raises LedgerError. At most `longest`
        wait, and of those at most `most` in the sum of what `size` says of each.
        """
        self._kind = kind
        self._store = store
        self._longest = longest
        self._size = size
        self._most = most
        self._queue: deque[_T] = deque()
        self._waiting = self._dropped = 0
        # Texts are added in the thread of the requests and taken in another one.
        self._lock = threading.Lock()

    def add(self, one: _T) -> None:
        """Queue one, in place of the oldest where there is no room. Never waits for the database."""
        size = self._size(one)
        with self._lock:
            if size > self._most:
                self._dropped += 1
                return
            self._queue.append(one)
            self._waiting += size
            while len(self._queue) > self._longest or self._waiting > self._most:
                self._waiting -= self._size(self._queue.popleft())
                self._dropped += 1

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
        while batch := self._take():
            try:
                self._store(batch)
            except LedgerError as error:
                _log.error("%s cannot be stored: %s", self._kind, error)
                with self._lock:
                    self._queue.extendleft(reversed(batch))
                    self._waiting += sum(map(self._size, batch))
                return

    def _take(self) -> list[_T]:
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            self._waiting -= sum(map(self._size, batch))
            dropped, self._dropped = self._dropped, 0
        if dropped:
            _log.warning("%d %s were dropped: they came faster than they can be stored", dropped, self._kind)
        return batch
