"""Reading the ledger into the values of the economics: a statement, a curve, groups."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.economics.breakeven import HOUR
from gateway.economics.series import DAY, Point, Projection, points, project
from gateway.economics.statement import Statement, state, within
from gateway.economics.sums import Sum, add
from gateway.ledger import Ledger

# What a report can be grouped by. `route` is the upstream that answered, `upstream` the one that was paid.
GROUPS = ("day", "hour", "route", "upstream", "key", "reason", "endpoint", "pinned")
_BY = ("hour", "upstream", "pinned")
_DAYS = 3  # a younger ledger is drawn by the hour


def current(ledger: Ledger, now: int, since: int | None = None, until: int | None = None) -> Statement:
    """The ledger's statement of a period; by default all of it until now. Raises LedgerError."""
    end = now if until is None else min(until, now)
    # Sums have no upper bound where the period ends now: a record of this very moment belongs to it.
    bound = None if until is None or until >= now else until
    rates, investment = ledger.rates(), ledger.investment()
    history = state(ledger.sums(_BY, None, bound), rates, investment, since=None, until=end)
    if since is None:
        return history
    return within(state(ledger.sums(_BY, since, bound), rates, investment, since=since, until=end), history)


def curve(ledger: Ledger, now: int) -> tuple[list[Point], Projection | None]:
    """Savings piled up from the beginning until now, by the day, and where they go. Raises LedgerError."""
    groups, rates, investment = ledger.sums(_BY), ledger.rates(), ledger.investment()
    begins = [rate.since for rate in rates[:1]] + [int(str(groups[0].group[0])) * HOUR] * bool(groups)
    if not begins or min(begins) >= now:
        return [], None
    since = rates[0].since if rates else min(begins)
    days = points(groups, rates, since, now)
    projection = project(days, investment, since=min(begins), now=now)
    return (days if len(days) >= _DAYS else points(groups, rates, since, now, HOUR)), projection


def grouped(ledger: Ledger, by: Sequence[str], since: int | None, until: int | None) -> list[Sum]:
    """Sums by any of GROUPS. A day is its first microsecond, an hour likewise. Raises ValueError, LedgerError."""
    unknown = set(by) - set(GROUPS)
    if unknown:
        raise ValueError(f"--by: cannot group by {', '.join(sorted(unknown))}; choose among {', '.join(GROUPS)}")
    if len(set(by)) != len(by):
        raise ValueError("--by: names the same twice")
    if {"day", "hour"} <= set(by):
        raise ValueError("--by: choose day or hour")
    merged: dict[tuple[object, ...], list[Sum]] = {}
    for one in ledger.sums(["hour" if name == "day" else name for name in by], since, until):
        merged.setdefault(tuple(_moment(*pair) for pair in zip(by, one.group, strict=True)), []).append(one)
    groups = []
    for group, parts in merged.items():
        total = add(parts)
        total.group = group
        groups.append(total)
    return groups


def _moment(name: str, value: object) -> object:
    if name not in ("day", "hour"):
        return value
    at = int(str(value)) * HOUR
    return at // DAY * DAY if name == "day" else at
