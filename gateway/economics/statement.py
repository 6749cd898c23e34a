"""All figures of one period in one value: what the report prints and what the metrics export."""

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

    `upstreams` has the sums of each upstream, pinned traffic among them; `baseline` and `routed_spend` are
    without it; `baseline_output` is the part of the baseline for the output tokens of the student's answers;
    `shadow_spend` is the part of the teacher's spend that shadow traffic took.
    `payback_at` is None where the pace never pays the investment back.
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
    """What holds if the teacher writes `ratio` output tokens for one of the student's, as shadow traffic measured.

    Picodollars, beside the statement's own figures and never among them: tokens that nobody wrote are in these.
    """

    ratio: Fraction
    baseline: int
    savings: int


def adjusted(statement: Statement, ratio: Fraction | None) -> Adjusted | None:
    """None where no ratio was measured."""
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
    """`groups` are the ledger's sums by upstream, pinned and reason over the period; a `since` of None is from the
    beginning. `hours` are all until the end of the period, in order of time: payback is theirs, since savings pile up
    from the beginning, and what one period saved says nothing about how far the project is.
    """
    upstreams = {route: add(g for g in groups if g.group[0] == route) for route in Route}
    routed = add(g for g in groups if not g.group[1])
    pinned = add(g for g in groups if g.group[1])
    # Hosting may have begun after the first request, and a ledger may know of no hosting at all.
    begin = _beginning(hours, rates, until)
    start = begin if since is None else since
    accrued = hosting(rates, start, until)
    piled_up = sum(hour.baseline - hour.spend for hour in hours) - hosting(rates, begin, until)
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
        payback_ratio=payback_ratio(piled_up, investment),
        payback_at=payback_moment(hours, rates, investment, begin, until),
        student_per_million=per_million(accrued, upstreams[Route.STUDENT].tokens),
        baseline_output=routed.baseline_output,
        shadow_spend=sum(g.cost for g in groups if g.group[2] == Reason.SHADOW),
    )


def _beginning(hours: Sequence[Hour], rates: Sequence[Rate], until: int) -> int:
    """When hosting began, or the first hour of traffic where all of that was earlier; `until` where there is neither.

    Within one hour it is not known which came first: hosting is known to the microsecond.
    """
    hosted = rates[0].since if rates else None
    if hours and (hosted is None or (hours[0].hour + 1) * HOUR <= hosted):
        return hours[0].hour * HOUR
    return until if hosted is None else hosted
