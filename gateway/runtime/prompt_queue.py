"""Keeping the text that the router read, where the operator wants that: a queue, and one write a second.

Prompts are no money: those of the last second before a crash may be lost, and while the database is away the oldest
give way. They are in no log, no metric and not in the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger

_log = logging.getLogger("breakeven.prompts")

_WAITING = 10_000
_SECONDS = 1.0
_BATCH = 500


class Prompts:
    """What waits to be kept."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[tuple[str, int, str]] = deque(maxlen=_WAITING)

    def add(self, request: str, at: int, text: str) -> None:
        """Keep the text of a request; never waits."""
        self._waiting.append((request, at, text))

    async def run(self) -> None:
        """Write now and then; until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(_SECONDS)
                if self._waiting:
                    await asyncio.to_thread(self.flush)
        finally:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Never raises."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            try:
                self._ledger.keep_prompts(batch)
            except LedgerError as error:
                _log.error("prompts cannot be kept: %s", error)
                self._waiting.extendleft(reversed(batch))
                return
