"""Reading the ledger into the values of the economics: a statement, a curve, groups."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.economics.breakeven import HOUR, Rate
from gateway.economics.series import DAY, Point, Projection, points, project
from gateway.economics.statement import Statement, state, within
from gateway.economics.sums import Sum
from gateway.ledger import Ledger

# What a report can be grouped by. `route` is the upstream that answered, `upstream` the one that was paid.
GROUPS = ("day", "hour", "route", "upstream", "key", "reason", "endpoint", "pinned")
_BY = ("hour", "upstream", "pinned")
_DAYS = 3  # a younger ledger is drawn by the hour


class Books(msgspec.Struct, frozen=True):
    """The statement of a period, the curve of the whole history, and where it goes."""

    statement: Statement
    curve: list[Point]
    projection: Projection | None


def current(ledger: Ledger, now: int, since: int | None = None, until: int | None = None) -> Statement:
    """The ledger's statement of a period; by default all of it until now. Raises LedgerError, ValueError."""
    end = now if until is None else min(until, now)
    if since is None and (until is None or until >= now):
        # Read at every scrape: a few rows for the sums, and one for each hour for payback.
        hourly = ledger.differences()
        return state(
            _whole(ledger, None, None), ledger.rates(), ledger.investment(), since=None, until=end, hourly=hourly
        )
    return _statement(ledger, _history(ledger, until, now), since, until, end)


def read(ledger: Ledger, now: int, since: int | None = None, until: int | None = None) -> Books:
    """All that a report shows; the curve ends with the period. Raises LedgerError, ValueError."""
    end = now if until is None else min(until, now)
    groups = _history(ledger, until, now)
    statement = _statement(ledger, groups, since, until, end)
    points, projection = _curve(groups, ledger.rates(), statement.investment, end)
    return Books(statement, points, projection)


def curve(ledger: Ledger, now: int) -> tuple[list[Point], Projection | None]:
    """Savings piled up from the beginning until now, by the day, and where they go. Raises LedgerError."""
    return _curve(ledger.sums(_BY), ledger.rates(), ledger.investment(), now)


def grouped(ledger: Ledger, by: Sequence[str], since: int | None, until: int | None) -> list[Sum]:
    """Sums by any of GROUPS. A day is its first microsecond, an hour likewise. Raises ValueError, LedgerError."""
    unknown = set(by) - set(GROUPS)
    if unknown:
        raise ValueError(f"--by: cannot group by {', '.join(sorted(unknown))}; choose among {', '.join(GROUPS)}")
    if len(set(by)) != len(by):
        raise ValueError("--by: names the same twice")
    if {"day", "hour"} <= set(by):
        raise ValueError("--by: choose day or hour")
    groups = ledger.sums(by, since, until)
    scales = [{"day": DAY, "hour": HOUR}.get(name) for name in by]
    for one in groups:
        pairs = zip(scales, one.group, strict=True)
        one.group = tuple(value if scale is None else int(str(value)) * scale for scale, value in pairs)
    return groups


def _history(ledger: Ledger, until: int | None, now: int) -> list[Sum]:
    # Sums have no upper bound where the period ends now: a record of this very moment belongs to it.
    return ledger.sums(_BY, None, None if until is None or until >= now else until)


def _statement(ledger: Ledger, groups: list[Sum], since: int | None, until: int | None, end: int) -> Statement:
    rates, investment = ledger.rates(), ledger.investment()
    history = state(groups, rates, investment, since=None, until=end)
    if since is None:
        return history
    bound = until if until is not None and until == end else None
    period = _whole(ledger, since, bound)
    return within(state(period, rates, investment, since=since, until=end), history)


def _whole(ledger: Ledger, since: int | None, until: int | None) -> list[Sum]:
    """A period as one row for each upstream: enough where payback comes from elsewhere."""
    return [msgspec.structs.replace(one, group=(0, *one.group)) for one in ledger.sums(_BY[1:], since, until)]


def _curve(groups: list[Sum], rates: list[Rate], investment: int, now: int) -> tuple[list[Point], Projection | None]:
    begins = [rate.since for rate in rates[:1]] + [int(str(one.group[0])) * HOUR for one in groups[:1]]
    if not begins or min(begins) >= now:
        return [], None
    since = rates[0].since if rates else min(begins)
    days = points(groups, rates, since, now)
    projection = project(days, investment, since=min(begins), now=now)
    return (days if len(days) >= _DAYS else points(groups, rates, since, now, HOUR)), projection
