"""Observed replicas of the student, one row for each hour, however many gateways observe them.

An observation is stored only for time that is not covered yet: several observers fill each other's gaps, and no time is
counted twice. That is simpler than a row for each observer, and the cost so far never goes down by a change from one
observer's row to another's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from breakeven.gateway.economics.hosting import Observation
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger.database import serialise
from breakeven.gateway.ledger.schema import hosting_observed

_SUMS = ("observed", "replicas", "busy_measured", "busy", "active_measured", "active")


class Span(NamedTuple):
    """Replicas seen over [since, until), microseconds since the epoch.

    `busy` of them had requests, None where that is not measured; `active` of them processed a token in this time, None
    likewise.
    """

    since: int
    until: int
    replicas: float
    busy: float | None
    active: float | None


def observe(connection: Connection, spans: Sequence[Span], due: int) -> None:
    """Store what of `spans`, in order of time, is not covered yet.

    The next observation is expected before `due`, microseconds since the epoch.
    """
    serialise(connection)
    c = hosting_observed.c
    for span in itertools.chain.from_iterable(map(_by_hour, spans)):
        hour = span.since // HOUR
        row = connection.execute(select(*_columns()).where(c.hour == hour)).first()
        since = span.since if row is None else max(span.since, row.until)
        time = span.until - since
        if time <= 0:
            continue
        added = _added(span, time)
        ends = {"until": span.until, "due": due, "last_replicas": span.replicas}
        if row is None:
            connection.execute(insert(hosting_observed), {"hour": hour, "since": since, **added, **ends})
        else:
            total = {name: row._mapping[name] + value for name, value in added.items()}
            connection.execute(update(hosting_observed).where(c.hour == hour).values(**total, **ends))


def read_observations(connection: Connection, now: int) -> list[Observation]:
    """What was observed by hour, in order of time; hours that begin after `now` are left out."""
    c = hosting_observed.c
    statement = select(*_columns()).where(c.hour <= now // HOUR).order_by(c.hour)
    return [Observation(*row) for row in connection.execute(statement)]


def _columns() -> list[Any]:
    c = hosting_observed.c
    return [c.since, c.until, c.due, *(c[name] for name in _SUMS), c.last_replicas]


def _by_hour(span: Span) -> Iterator[Span]:
    """The parts of a span, none of which contains the start of an hour in its middle."""
    start = span.since
    while start < span.until:
        end = min(span.until, (start // HOUR + 1) * HOUR)
        yield span._replace(since=start, until=end)
        start = end


def _added(span: Span, time: int) -> dict[str, int]:
    replicas = round(span.replicas * time)
    return {
        "observed": time,
        "replicas": replicas,
        "busy_measured": 0 if span.busy is None else replicas,
        "busy": 0 if span.busy is None else min(replicas, round(span.busy * time)),
        "active_measured": 0 if span.active is None else replicas,
        "active": 0 if span.active is None else min(replicas, round(span.active * time)),
    }
