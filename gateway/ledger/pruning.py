"""Removing raw rows after their time. Hourly sums were written with them and stay, so no total changes."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, delete, insert, select, update

from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.ledger.database import serialise, transaction
from breakeven.gateway.ledger.schema import attempts, marks, requests

_RAW_SINCE = "raw_since"
_LONG_AGO = -(2**62)
_CHUNK = 1000
_CHUNKS = 500  # at one go; the rest waits for the next


def raw_since(connection: Connection) -> int:
    """Raw rows before this moment, a whole hour in microseconds, have been removed; long ago where none were."""
    at = connection.scalar(select(marks.c.at).where(marks.c.name == _RAW_SINCE))
    return _LONG_AGO if at is None else at


def prune(engine: Engine, keep_days: int, now: int) -> int:
    """Remove the raw rows of whole hours older than `keep_days`. Returns how many requests went.

    Small transactions: requests that settle meanwhile do not wait long.
    """
    before = (now - keep_days * DAY) // HOUR * HOUR
    with transaction(engine, write=True) as connection:
        serialise(connection)
        before = max(before, raw_since(connection))
        if not connection.execute(update(marks).where(marks.c.name == _RAW_SINCE).values(at=before)).rowcount:
            connection.execute(insert(marks), {"name": _RAW_SINCE, "at": before})
    removed = 0
    for _ in range(_CHUNKS):
        with transaction(engine, write=True) as connection:
            ids = list(connection.scalars(select(requests.c.id).where(requests.c.at < before).limit(_CHUNK)))
            if not ids:
                break
            connection.execute(delete(attempts).where(attempts.c.request.in_(ids)))
            connection.execute(delete(requests).where(requests.c.id.in_(ids)))
            removed += len(ids)
    return removed
