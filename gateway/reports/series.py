"""Requests over time: who answered them, and what the teacher was paid, from the ledger's hourly sums."""

from __future__ import annotations

from dataclasses import dataclass

from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.router.policy import Reason, Route

# A longer period is told by the day.
_BY_HOUR = 10 * DAY
_ROUTES = (Route.STUDENT.value, Route.TEACHER.value)


@dataclass
class Interval:
    """Counts of requests by who answered, and picodollars that the teacher was paid."""

    student: int = 0
    teacher: int = 0
    other: int = 0
    paid: int = 0


@dataclass(frozen=True)
class Series:
    """Intervals of `step` microseconds by their begin, and which keys and workloads had requests."""

    step: int
    points: dict[int, Interval]
    keys: list[str]
    workloads: list[str]


def series(ledger: Ledger, now: int, since: int | None, until: int | None) -> Series:
    """The series of [since, until), microseconds since the epoch, with whole hours. Raises LedgerError, ValueError."""
    begin = None if since is None else since // HOUR * HOUR
    by_day = begin is None or (until or now) - begin > _BY_HOUR
    step, name = (DAY, "day") if by_day else (HOUR, "hour")
    points: dict[int, Interval] = {}
    keys, workloads = set(), set()
    for one in ledger.sums((name, "upstream", "route", "reason", "key", "workload"), begin, until):
        number, upstream, route, reason, key, workload = one.group
        point = points.setdefault(int(str(number)) * step, Interval())
        if upstream == Route.TEACHER.value:
            point.paid += one.cost
        if reason == Reason.SHADOW.value:
            continue
        keys.add(str(key))
        workloads.add(str(workload))
        field = str(route) if route in _ROUTES else "other"
        setattr(point, field, getattr(point, field) + one.requests)
    return Series(step, dict(sorted(points.items())), sorted(keys), sorted(workloads))
