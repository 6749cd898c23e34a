"""Reading the ledger into the values of `gateway.economics`: statement, savings curve, and grouped sums."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from breakeven.gateway.economics.baseline import Estimate
from breakeven.gateway.economics.hosting import Hosting
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.economics.projection import Point, Projection, points, project
from breakeven.gateway.economics.quality import Retention, output_ratio, retention, unrouted
from breakeven.gateway.economics.statement import BY, Comparisons, Statement, add_traffic, compare, state
from breakeven.gateway.economics.totals import STRATA, Hour, Sum, add, traffic_of
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.road.judges import Judge, judges
from breakeven.router.policy import Reason, Route
from breakeven.router.statistics import Interval

# What a report can be grouped by. `route` is the upstream that answered, `upstream` the one whose attempt is paid.
GROUPS = ("day", "hour", "route", "upstream", "provider", "key", "workload", "reason", "endpoint", "pinned")
_DAYS = 3  # a ledger with fewer days gets a curve by the hour


class Quality(NamedTuple):
    """Results of comparisons: quality retention and output tokens of teacher per student; None without pairs.

    `unrouted`: the number of compared requests that the teacher answered, and what the student's answers to them keep.
    Without the pairs that one of the `judges` scored whose verdicts measure nothing.
    """

    retention: Retention | None
    output_ratio: Fraction | None
    unrouted: tuple[int, Interval] | None = None
    judges: Sequence[Judge] = ()


class Books(msgspec.Struct, frozen=True):
    """What a report shows: the statement of a period, the savings curve up to its end, the projection, and quality.

    `providers` are the sums of the teacher's providers in the period, by name, "" for the first one. The curve is
    empty, and there is no projection, until answers enough were compared.
    """

    statement: Statement
    curve: list[Point]
    projection: Projection | None
    quality: Quality = Quality(None, None)
    providers: list[Sum] = []

    @property
    def payback_at(self) -> int | None:
        """When savings reached the investment, or are expected to, microseconds since the epoch; None: not known."""
        reached, projection = self.statement.payback_at, self.projection
        return reached if reached is not None or projection is None else projection.expected


class Group(NamedTuple):
    """The sums of one group of requests, and what the teacher would have charged for it: None until measured."""

    total: Sum
    baseline: Estimate | None


def comparisons(ledger: Ledger, now: int, until: int | None = None) -> Comparisons:
    """What pairs compared before `until`, at the latest now, say of the baseline. Raises LedgerError."""
    return compare(ledger.priced_pairs(_bound(now, until)))


def quality(ledger: Ledger, now: int) -> Quality:
    """Results of comparisons in the last `road.window_days` before `now`. Raises LedgerError."""
    since = (now - ledger.window) // HOUR * HOUR
    pairs = ledger.compared(since)
    found = judges(ledger.judged_pairs.verdicts(since))
    if not pairs:
        return Quality(None, None, judges=found)
    routed = {str(one.group[0]): one.requests for one in ledger.sums(BY[:2], since) if not one.group[1]}
    share = routed.get(Route.STUDENT, 0) / max(1, sum(routed.values()))
    return Quality(retention(pairs, share), output_ratio(pairs), unrouted(pairs), found)


def shadow_spend(ledger: Ledger, since: int | None = None, until: int | None = None) -> int:
    """Picodollars spent on comparisons in [since, until), with what is estimated. Raises LedgerError, ValueError."""
    return sum(one.cost + one.cost_estimated for one in ledger.sums((), since, until, Reason.SHADOW))


def read(ledger: Ledger, now: int, since: int | None = None, until: int | None = None) -> Books:
    """Everything that a report on [since, until) shows, as of `now`; by default everything until then.

    All in microseconds since the epoch. Raises LedgerError, and ValueError as `totals.read` does.
    """
    bound = _bound(now, until)
    end = now if until is None else min(until, now)
    found = comparisons(ledger, now, until)
    hours = ledger.hours(bound, found.ratios.keys if found.ratios is not None else ())
    hosting, investment = ledger.hosting(now), ledger.investment()
    sums = ledger.sums(BY, since, bound)
    statement = state(sums, hours, hosting, investment, since=since, until=end, comparisons=found)
    curve, projection = _curve(hours, hosting, statement, found)
    return Books(statement, curve, projection, quality(ledger, now), providers(ledger, since, bound))


def providers(ledger: Ledger, since: int | None = None, until: int | None = None) -> list[Sum]:
    """The sums of each of the teacher's providers over [since, until), in order of name. Raises LedgerError."""
    found = ledger.sums(("upstream", "provider"), since, until)
    return [msgspec.structs.replace(one, group=one.group[1:]) for one in found if one.group[0] == Route.TEACHER]


def grouped(ledger: Ledger, by: Sequence[str], now: int, since: int | None, until: int | None) -> list[Group]:
    """Sums over [since, until) by any of GROUPS; a day or hour is given as its first microsecond.

    The baselines of the groups add up to that of the statement. Raises ValueError for an invalid grouping or period,
    with the option `--by` in its message, and LedgerError.
    """
    unknown = set(by) - set(GROUPS)
    if unknown:
        raise ValueError(f"--by: cannot group by {', '.join(sorted(unknown))}; choose among {', '.join(GROUPS)}")
    if len(set(by)) != len(by):
        raise ValueError("--by: names the same twice")
    if {"day", "hour"} <= set(by):
        raise ValueError("--by: choose day or hour")
    names = [*by, *(name for name in STRATA if name not in by)]
    scales = [{"day": DAY, "hour": HOUR}.get(name) for name in by]
    parts: dict[tuple[object, ...], list[Sum]] = {}
    for one in ledger.sums(names, since, until):
        pairs = zip(scales, one.group[: len(by)], strict=True)
        group = tuple(value if scale is None else int(str(value)) * scale for scale, value in pairs)
        parts.setdefault(group, []).append(one)
    ratios = comparisons(ledger, now, until).ratios
    return [
        Group(add(of, group), None if ratios is None else ratios.estimate(traffic_of(of, names)))
        for group, of in parts.items()
    ]


def _bound(now: int, until: int | None) -> int | None:
    # No upper bound for a period that ends now, so that a record of this very microsecond is included.
    return None if until is None or until >= now else until


def _curve(
    hours: list[Hour], hosting: Hosting, statement: Statement, found: Comparisons
) -> tuple[list[Point], Projection | None]:
    begins = [rate.since for rate in hosting.rates[:1]] + [one.hour * HOUR for one in hours[:1]]
    now = statement.until
    if found.ratios is None or not begins or min(begins) >= now:
        return [], None
    since = begins[0]
    days = points(hours, hosting, since, now, found.ratios)
    error = found.ratios.relative_error(add_traffic(hours))
    # Reached by the hour, where a day's end may be below it again.
    open_investment = 0 if statement.payback_at is not None else statement.investment
    projection = project(days, open_investment, since=min(begins), now=now, error=error)
    return (days if len(days) >= _DAYS else points(hours, hosting, since, now, found.ratios, HOUR)), projection
