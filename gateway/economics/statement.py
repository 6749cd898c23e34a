"""All money figures of one period in one value, for the report and the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from breakeven.gateway.economics.breakeven import Rate, hosting, payback_moment, payback_ratio, per_million, savings
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.economics.totals import Hour, Sum, add
from breakeven.router.policy import Reason, Route


class Statement(msgspec.Struct, frozen=True):
    """Money in picodollars over [since, until), microseconds.

    `upstreams` has the sums of each upstream, including pinned requests; `baseline` and `routed_spend` exclude them.
    `baseline_output` is the part of the baseline for output tokens of the student's answers; `shadow_spend` the part
    of the teacher's spend caused by shadow traffic. `student_per_million` is the student's effective price in
    picodollars per million tokens. `payback_at` is microseconds since the epoch; None is never.
    """

    since: int
    until: int
    upstreams: dict[Route, Sum]
    baseline: int
    routed_spend: int
    pinned_spend: int
    hosting: int
    investment: int
    savings: int
    payback_ratio: float | None
    payback_at: int | None
    student_per_million: Fraction | None
    baseline_output: int
    shadow_spend: int

    @property
    def requests(self) -> int:
        """Requests with at least one attempt."""
        return sum(total.requests for total in self.upstreams.values())


class Adjusted(NamedTuple):
    """Baseline and savings, in picodollars, if the teacher writes `ratio` output tokens for each of the student's.

    They are an estimate from shadow traffic, so they are reported beside the statement's figures, never in their
    place.
    """

    ratio: Fraction
    baseline: int
    savings: int


def adjusted(statement: Statement, ratio: Fraction | None) -> Adjusted | None:
    """The statement's baseline and savings adjusted for the measured `ratio`; None where none was measured."""
    if ratio is None:
        return None
    more = int(statement.baseline_output * (ratio - 1))
    return Adjusted(ratio, statement.baseline + more, statement.savings + more)


def state(
    groups: Sequence[Sum],
    hours: Sequence[Hour],
    rates: Sequence[Rate],
    investment: int,
    *,
    since: int | None,
    until: int,
) -> Statement:
    """The statement of a period; times are microseconds since the epoch, money is picodollars.

    `groups` are the ledger's sums over the period by (upstream, pinned, reason); a `since` of None is from the
    beginning. `hours` are all hours from the beginning to the end of the period, in order of time: payback is computed
    from them, because it depends on the savings since the beginning and not on those of one period.
    """
    upstreams = {route: add(g for g in groups if g.group[0] == route) for route in Route}
    routed = add(g for g in groups if not g.group[1])
    pinned = add(g for g in groups if g.group[1])
    # Hosting may have begun after the first request, and a ledger may know of no hosting at all.
    begin = _beginning(hours, rates, until)
    start = begin if since is None else since
    accrued = hosting(rates, start, until)
    cumulative = sum(hour.baseline - hour.spend for hour in hours) - hosting(rates, begin, until)
    return Statement(
        since=start,
        until=until,
        upstreams=upstreams,
        baseline=routed.baseline,
        routed_spend=routed.cost,
        pinned_spend=pinned.cost,
        hosting=accrued,
        investment=investment,
        savings=savings(routed.baseline, routed.cost, accrued),
        payback_ratio=payback_ratio(cumulative, investment),
        payback_at=payback_moment(hours, rates, investment, begin, until),
        student_per_million=per_million(accrued, upstreams[Route.STUDENT].tokens),
        baseline_output=routed.baseline_output,
        shadow_spend=sum(g.cost for g in groups if g.group[2] == Reason.SHADOW),
    )


def _beginning(hours: Sequence[Hour], rates: Sequence[Rate], until: int) -> int:
    """When hosting began, or the start of the first hour of traffic if that hour ended earlier; `until` without either.

    Within the same hour the order is unknown, and hosting is used, whose time is exact.
    """
    hosted = rates[0].since if rates else None
    if hours and (hosted is None or (hours[0].hour + 1) * HOUR <= hosted):
        return hours[0].hour * HOUR
    return until if hosted is None else hosted
