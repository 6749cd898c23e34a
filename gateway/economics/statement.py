"""All money figures of one period in one value, for the report and the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from breakeven.gateway.economics.baseline import LEAST_PAIRS, Estimate, PricedPair, Ratios, measure, usable
from breakeven.gateway.economics.breakeven import payback_moment, payback_ratio, per_million
from breakeven.gateway.economics.hosting import NOTHING_OBSERVED, Hosting, Observed
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.economics.shares import Share, shares
from breakeven.gateway.economics.totals import STRATA, Hour, Sum, add, traffic_of
from breakeven.gateway.economics.traffic import Traffic, together
from breakeven.router.policy import Reason, Route

# What the ledger's sums of a statement are grouped by.
BY = ("upstream", "pinned", "reason", *STRATA, "provider")


class Comparisons(NamedTuple):
    """The number of usable compared pairs, and what they say of the baseline: None while there are too few."""

    pairs: int
    ratios: Ratios | None

    @property
    def needed(self) -> int:
        """How many more pairs it takes before anything is estimated."""
        return max(0, LEAST_PAIRS - self.pairs)


NO_COMPARISONS = Comparisons(0, None)


def compare(pairs: Sequence[PricedPair]) -> Comparisons:
    """What all compared pairs say."""
    ratios = measure(pairs)
    return Comparisons(len(usable(pairs)) if ratios is None else ratios.pairs, ratios)


class Statement(msgspec.Struct, frozen=True):
    """Money in picodollars over [since, until), microseconds.

    `upstreams` has the sums of each upstream, including pinned requests; `traffic` and `routed_spend` exclude them.
    Those of further models are together there, and one by one in `models`, with their name as group: they are part of
    no other figure, but for what they judged, which is part of `routed_spend` and `shadow_spend`.
    `baseline` is what the teacher would have charged for `traffic`, `savings` is that less `routed_spend` and
    `hosting`: estimates with their intervals, None until answers enough were compared. `savings_upper_bound` takes
    the student's own tokens for the teacher's, and is no estimate. `pairs` were compared, `pairs_needed` more are
    needed. `payback_ratio` is of all savings since the beginning; `payback_at` is when these reached the
    investment, microseconds since the epoch, None where they have not. `shadow_spend` is the part of
    `routed_spend` that comparisons cost. `student_per_million` is the student's effective price in picodollars per
    million tokens. `by_workload` and `by_key` divide baseline, spend and hosting. `observed` is
    what was seen of the student's replicas.
    """

    since: int
    until: int
    upstreams: dict[Route, Sum]
    traffic: Traffic
    baseline: Estimate | None
    routed_spend: int
    pinned_spend: int
    hosting: int
    investment: int
    savings: Estimate | None
    savings_upper_bound: int
    pairs: int
    pairs_needed: int
    payback_ratio: float | None
    payback_at: int | None
    student_per_million: Fraction | None
    shadow_spend: int
    by_workload: tuple[Share, ...] = ()
    by_key: tuple[Share, ...] = ()
    observed: Observed = NOTHING_OBSERVED
    models: tuple[Sum, ...] = ()

    @property
    def requests(self) -> int:
        """Requests with at least one attempt."""
        return sum(total.requests for total in self.upstreams.values())


def state(
    groups: Sequence[Sum],
    hours: Sequence[Hour],
    hosting: Hosting,
    investment: int,
    *,
    since: int | None,
    until: int,
    comparisons: Comparisons = NO_COMPARISONS,
) -> Statement:
    """The statement of a period; times are microseconds since the epoch, money is picodollars.

    `groups` are the ledger's sums over the period by BY; a `since` of None is from the
    beginning. `hours` are all hours from the beginning to the end of the period, in order of time: payback is computed
    from them, because it depends on the savings since the beginning and not on those of one period.
    """
    upstreams = {route: add(g for g in groups if g.group[0] == route) for route in Route}
    routed = add(g for g in groups if not g.group[1])
    pinned = add(g for g in groups if g.group[1] and g.group[0] != Route.MODEL)
    # Tokens that only a comparison asked for served nobody.
    served = add(g for g in groups if g.group[0] == Route.STUDENT and g.group[2] != Reason.SHADOW)
    traffic = traffic_of(groups, BY)
    # Hosting may have begun after the first request, and a ledger may know of no hosting at all.
    begin = _beginning(hours, hosting, until)
    start = begin if since is None else since
    accrued = hosting.cost(start, until)
    ratios = comparisons.ratios
    baseline = None if ratios is None else ratios.estimate(traffic)
    ratio = reached = None
    if ratios is not None:
        cumulative = ratios.value(add_traffic(hours)) - sum(hour.spend for hour in hours)
        ratio = payback_ratio(cumulative - hosting.cost(begin, until), investment)
        reached = payback_moment(hours, hosting, investment, until, ratios)
    return Statement(
        since=start,
        until=until,
        upstreams=upstreams,
        traffic=traffic,
        baseline=baseline,
        routed_spend=routed.cost,
        pinned_spend=pinned.cost,
        hosting=accrued,
        investment=investment,
        savings=None if baseline is None else baseline.less(routed.cost + accrued),
        savings_upper_bound=traffic.upper_bound - routed.cost - accrued,
        pairs=comparisons.pairs,
        pairs_needed=comparisons.needed,
        payback_ratio=ratio,
        payback_at=reached,
        student_per_million=per_million(accrued, served.tokens),
        shadow_spend=sum(g.cost for g in groups if g.group[2] == Reason.SHADOW),
        by_workload=shares(groups, BY, "workload", ratios, accrued),
        by_key=shares(groups, BY, "key", ratios, accrued),
        observed=hosting.observed(start, until),
        models=_by_model(groups),
    )


def _by_model(groups: Sequence[Sum]) -> tuple[Sum, ...]:
    """The sums of each further model, in order of name."""
    parts: dict[str, list[Sum]] = {}
    for one in groups:
        if one.group[0] == Route.MODEL:
            parts.setdefault(str(one.group[-1]), []).append(one)
    return tuple(add(parts[name], (name,)) for name in sorted(parts))


def add_traffic(hours: Sequence[Hour]) -> Traffic:
    """The routed traffic of all these hours."""
    return together(hour.traffic for hour in hours)


def _beginning(hours: Sequence[Hour], hosting: Hosting, until: int) -> int:
    """When hosting began, or the start of the first hour of traffic if that hour ended earlier; `until` without either.

    Within the same hour the order is unknown, and hosting is used, whose time is exact.
    """
    hosted = hosting.since
    if hours and (hosted is None or (hours[0].hour + 1) * HOUR <= hosted):
        return hours[0].hour * HOUR
    return until if hosted is None else hosted
