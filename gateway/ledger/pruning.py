"""Deleting raw rows past their retention. The hourly sums are kept, so no total changes."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, delete, insert, select, update

from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.ledger.database import serialise, transaction
from breakeven.gateway.ledger.schema import attempts, marks, requests

_RAW_SINCE = "raw_since"
_FAR_PAST = -(2**62)
_BATCH = 1000
_MAX_BATCHES = 500  # per call; the rest is deleted by the next one


def raw_since(connection: Connection) -> int:
    """The time before which raw rows have been deleted, a whole hour in microseconds; far in the past if none were."""
    at = connection.scalar(select(marks.c.at).where(marks.c.name == _RAW_SINCE))
    return _FAR_PAST if at is None else at


def prune(engine: Engine, keep_days: int, now: int) -> int:
    """Delete the raw rows of whole hours older than `keep_days`; returns the number of requests deleted.

    `now` is in microseconds since the epoch. Uses small transactions, so that requests settling meanwhile do not wait
    long. Raises SQLAlchemyError.
    """
    before = (now - keep_days * DAY) // HOUR * HOUR
    with transaction(engine, write=True) as connection:
        serialise(connection)
        before = max(before, raw_since(connection))
        if not connection.execute(update(marks).where(marks.c.name == _RAW_SINCE).values(at=before)).rowcount:
            connection.execute(insert(marks), {"name": _RAW_SINCE, "at": before})
    removed = 0
    for _ in range(_MAX_BATCHES):
        with transaction(engine, write=True) as connection:
            ids = list(connection.scalars(select(requests.c.id).where(requests.c.at < before).limit(_BATCH)))
            if not ids:
                break
            connection.execute(delete(attempts).where(attempts.c.request.in_(ids)))
            connection.execute(delete(requests).where(requests.c.id.in_(ids)))
            removed += len(ids)
    return removed
