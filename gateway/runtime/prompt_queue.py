"""Storing prompt text in the ledger, where `ledger.store_prompts` is on: a bounded queue, written once a second.

Unlike the records of usage and cost, prompts may be lost: those of the last second before a crash, and the oldest ones
while the database is unavailable. They never appear in logs, metrics or the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger

_log = logging.getLogger("breakeven.prompts")

_MAX_QUEUED = 10_000
_WRITE_SECONDS = 1.0
_BATCH = 500


class PromptQueue:
    """Prompts waiting to be stored: (request, microseconds since the epoch, text)."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._queue: deque[tuple[str, int, str]] = deque(maxlen=_MAX_QUEUED)

    def add(self, request: str, at: int, text: str) -> None:
        """Queue the text of the request with this id, settled `at` (microseconds since the epoch). Never waits."""
        self._queue.append((request, at, text))

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
        """Write all queued prompts. They stay queued where the ledger cannot be written; never raises."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            try:
                self._ledger.store_prompts(batch)
            except LedgerError as error:
                _log.error("prompts cannot be stored: %s", error)
                self._queue.extendleft(reversed(batch))
                return
