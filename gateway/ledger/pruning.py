"""Deleting raw rows past their retention. The hourly sums are kept, so no total changes."""

from __future__ import annotations

import time

from sqlalchemy import Connection, Engine, delete, insert, select, update

from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger.database import serialise, transaction
from breakeven.gateway.ledger.schema import attempts, marks, requests

_RAW_SINCE = "raw_since"
_FAR_PAST = -(2**62)
_BATCH = 1000
# How long one call may take, in which no record is stored. Of calls every half minute that is enough for 2000 requests
# a second and more.
_SECONDS = 1.0


def raw_since(connection: Connection) -> int:
    """The time before which raw rows have been deleted, a whole hour in microseconds; far in the past if none were."""
    at = connection.scalar(select(marks.c.at).where(marks.c.name == _RAW_SINCE))
    return _FAR_PAST if at is None else at


def prune(engine: Engine, keep_hours: int, now: int, seconds: float = _SECONDS) -> tuple[int, bool]:
    """Delete the raw rows of whole hours older than `keep_hours`, for some seconds at most. Returns the number of
    requests deleted, and whether none is left.

    `now` is in microseconds since the epoch. Uses small transactions, so that requests settling meanwhile do not wait
    long. Raises SQLAlchemyError.
    """
    end = time.monotonic() + seconds
    before = (now - keep_hours * HOUR) // HOUR * HOUR
    with transaction(engine, write=True) as connection:
        serialise(connection)
        before = max(before, raw_since(connection))
        if not connection.execute(update(marks).where(marks.c.name == _RAW_SINCE).values(at=before)).rowcount:
            connection.execute(insert(marks), {"name": _RAW_SINCE, "at": before})
    # Gateways that do this at once, with PostgreSQL, take different rows.
    some = select(requests.c.id).where(requests.c.at < before).limit(_BATCH).with_for_update(skip_locked=True)
    removed, found = 0, _BATCH
    while found == _BATCH and (not removed or time.monotonic() < end):
        with transaction(engine, write=True) as connection:
            ids = list(connection.scalars(some))
            connection.execute(delete(attempts).where(attempts.c.request.in_(ids)))
            connection.execute(delete(requests).where(requests.c.id.in_(ids)))
        found = len(ids)
        removed += found
    return removed, found < _BATCH
