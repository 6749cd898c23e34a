"""The history of what routes: who changed it, when, and how each change is undone."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import func, insert, select

from breakeven.gateway.ledger.road import UNKNOWN, Event
from breakeven.gateway.ledger.road_tables import road_events as events
from breakeven.gateway.ledger.tables import Tables


class Change(NamedTuple):
    """An event with its id. `newest`: nothing has happened to its workload since."""

    id: int
    event: Event
    newest: bool


class LastChange(NamedTuple):
    """When events with the same workload, stage and author happened last: `at` microseconds since the Unix epoch."""

    workload: str
    stage: str
    who: str
    at: int


class ChangeStore(Tables):
    """The table of events, as a history."""

    def put(self, happened: Event) -> None:
        """Store what happened."""
        self._write(lambda one: one.execute(insert(events), happened._asdict()))

    def newest(self, limit: int, before: int | None = None, id: int | None = None) -> list[Change]:
        """The newest `limit` events, newest first, with `before` only those of lower ids, or the one with this `id`.
        What clients name and the config does not have is left out.
        """
        c, later = events.c, events.alias().c
        since = select(later.id).where(later.workload == c.workload, later.id > c.id, later.stage != UNKNOWN)
        newest = ~since.correlate(events).exists()
        wanted = select(c.id, *(c[name] for name in Event._fields), newest).where(c.stage != UNKNOWN)
        if before is not None:
            wanted = wanted.where(c.id < before)
        if id is not None:
            wanted = wanted.where(c.id == id)
        rows = self._read(lambda one: one.execute(wanted.order_by(c.id.desc()).limit(limit)).all())
        return [Change(row[0], Event(*row[1:-1]), bool(row[-1])) for row in rows]

    def last(self) -> list[LastChange]:
        """When each kind of event happened last, without what clients name and the config does not have."""
        c = events.c
        kinds = (c.workload, c.stage, c.who)
        wanted = select(*kinds, func.max(c.at)).where(c.stage != UNKNOWN).group_by(*kinds).order_by(*kinds)
        return [LastChange(*row) for row in self._read(lambda one: one.execute(wanted).all())]
