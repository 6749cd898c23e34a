"""All figures of one period in one value: what the report prints and what the metrics export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from gateway.economics.breakeven import HOUR, Rate, hosting, payback_moment, payback_ratio, per_million, savings
from gateway.economics.sums import Sum, add
from router.policy import Route


class Statement(msgspec.Struct, frozen=True):
    """Money in picodollars over [since, until), microseconds.

    `upstreams` has the sums of each upstream, pinned traffic among them; `baseline` and `routed_spend` are
    without it; `baseline_output` is the part of the baseline for the output tokens of the student's answers.
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
    baseline_output: int = 0

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
    rates: Sequence[Rate],
    investment: int,
    *,
    since: int | None,
    until: int,
    hourly: Sequence[tuple[int, int]] | None = None,
) -> Statement:
    """`groups` are the ledger's sums by hour, upstream and pinned over the period, in order; a `since` of None is from
    the beginning. Payback is that of these groups: see `within` for a period of a longer history. `hourly`, where
    it is known already, has (hour, baseline minus spend of routed traffic) in order; the groups' hours are then not
    looked at.
    """
    upstreams = {route: add(g for g in groups if g.group[1] == route) for route in Route}
    routed = add(g for g in groups if not g.group[2])
    pinned = add(g for g in groups if g.group[2])
    # Hosting may have begun after the first request, and a ledger may know of no hosting at all.
    if hourly is None:
        hourly = _differences(groups)
    start = since if since is not None else _beginning(hourly, rates, until)
    accrued = hosting(rates, start, until)
    saved = savings(routed.baseline, routed.cost, accrued)
    return Statement(
        since=start,
        until=until,
        upstreams=upstreams,
        baseline=routed.baseline,
        routed_spend=routed.cost,
        pinned_spend=pinned.cost,
        hosting=accrued,
        investment=investment,
        savings=saved,
        payback_ratio=payback_ratio(saved, investment),
        payback_at=payback_moment(hourly, rates, investment, start, until),
        student_per_million=per_million(accrued, upstreams[Route.STUDENT].tokens),
        baseline_output=routed.baseline_output,
    )


def _beginning(hourly: Sequence[tuple[int, int]], rates: Sequence[Rate], until: int) -> int:
    """When hosting began, or the first hour of traffic where all of that was earlier; `until` where there is neither.

    Within one hour it is not known which came first: hosting is known to the microsecond.
    """
    hosted = rates[0].since if rates else None
    if hourly and (hosted is None or (hourly[0][0] + 1) * HOUR <= hosted):
        return hourly[0][0] * HOUR
    return until if hosted is None else hosted


def within(period: Statement, history: Statement) -> Statement:
    """A period's statement with the payback of the whole history until its end: savings pile up from the
    beginning, and what one period saved says nothing about how far the project is.
    """
    return msgspec.structs.replace(period, payback_ratio=history.payback_ratio, payback_at=history.payback_at)


def _differences(groups: Iterable[Sum]) -> list[tuple[int, int]]:
    """(hour, baseline minus spend) of routed traffic, in order of time; hours of pinned traffic alone have 0."""
    hours: dict[int, int] = {}
    for group in groups:
        hour = int(str(group.group[0]))
        hours[hour] = hours.get(hour, 0) + (0 if group.group[2] else group.baseline - group.cost)
    return sorted(hours.items())
