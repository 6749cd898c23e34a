"""Whose the ids are that upstreams gave to stored responses, their items and conversations.

All gateways use an upstream with one account of their own, so that the upstream would give any of their clients what
any other has stored. They are noted in the file of `stored_responses.py`, and where gateways on several machines share
a ledger, in that as well.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Sequence

from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.owned_ids import OwnedId, OwnedIdStore
from breakeven.gateway.runtime.stored_responses import Made, StoredResponses
from breakeven.router.policy import Route

_log = logging.getLogger("breakeven.responses")

# Another gateway may be about to write what this one looks for.
_PAUSES = (0.1, 0.4)
# Kept in memory besides, of what the file could not take.
_MOST_IN_MEMORY = 10_000
_MOST_ITEMS = 256
# In the text of an answer, which is inside a JSON string, its quotes are escaped.
_ITEM = re.compile(rb'"id"\s*:\s*"([A-Za-z0-9][A-Za-z0-9_.:=~-]{0,511})"')


def conversation(id: str) -> str:
    """The name under which a conversation is noted: no response can have it."""
    return f"conversation {id}"[:512]


def items_in(answer: bytes) -> list[str]:
    """The ids of the objects in an answer, the first _MOST_ITEMS of them."""
    found = dict.fromkeys(match[1].decode() for match in _ITEM.finditer(answer))
    return list(found)[:_MOST_ITEMS]


class Owners:
    """Makers of ids. `writing` are the writes to the ledger that run."""

    def __init__(self, stored: StoredResponses, ledger: Ledger) -> None:
        self._stored = stored
        self._shared: OwnedIdStore | None = ledger.owned_ids if ledger.shared else None
        self._memory: OrderedDict[str, Made] = OrderedDict()
        self.writing: set[asyncio.Task[None]] = set()

    def note(self, ids: Sequence[str], made: Made) -> None:
        """Note who made these ids; one that is known stays its maker's. Never raises."""
        now = time.time()
        fresh = [id for id in ids if self._known(id) is None]
        for id in fresh:
            if not self._stored.put(id, made, now):
                self._memory[id] = made
                if len(self._memory) > _MOST_IN_MEMORY:
                    self._memory.popitem(last=False)
        if self._shared is not None and fresh:
            rows = [OwnedId(id, made.maker, made.route.value, made.provider, int(now * 1e6)) for id in fresh]
            self._in_ledger(self._shared, rows)

    async def of(self, id: str, *, patient: bool = True, shared: bool = True) -> Made | None:
        """Who made an id; None where that is not known. `shared`: ask the ledger for what other machines have noted,
        and with `patient` again, since they may be about to.
        """
        found = self._known(id)
        if found is not None or self._shared is None or not shared:
            return found
        for pause in (*(_PAUSES if patient else ()), None):
            try:
                row = await asyncio.to_thread(self._shared.get, id)
            except LedgerError as error:
                _log.error("it cannot be read whose a stored response is: %s", error)
                return None
            if row is not None:
                return Made(Route(row.route), row.provider, row.maker)
            if pause is not None:
                await asyncio.sleep(pause)
        return None

    def forget(self, id: str) -> None:
        """Drop what is known of a deleted response on this machine; others learn from the upstream that it is gone."""
        self._stored.forget(id)
        self._memory.pop(id, None)

    def _known(self, id: str) -> Made | None:
        return self._stored.get(id) or self._memory.get(id)

    def _in_ledger(self, shared: OwnedIdStore, rows: list[OwnedId]) -> None:
        async def write() -> None:
            try:
                await asyncio.to_thread(shared.put, rows)
            except LedgerError as error:
                _log.error("other gateways do not learn whose a stored response is: %s", error)

        task = asyncio.get_running_loop().create_task(write())
        self.writing.add(task)
        task.add_done_callback(self.writing.discard)
