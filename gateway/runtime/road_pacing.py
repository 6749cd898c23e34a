"""How often requests are compared, so that what comparisons cost stays within the month's budget."""

from __future__ import annotations

from collections.abc import Mapping

from breakeven.gateway.accounting.money import PICODOLLARS
from breakeven.gateway.config.schema import Config
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.budgets import month_start
from breakeven.gateway.ledger.statements import shadow_spend
from breakeven.gateway.road.sampling import Flow, rates_within
from breakeven.gateway.road.stages import Direction, Rates
from breakeven.router.policy import Reason, Route

# Rates that differ by less than this share are left as they are: each change is read by all gateways.
_CHANGE = 0.1
# How far back traffic and the cost of comparisons are looked at.
_TRAFFIC = HOUR
_COSTS = DAY
_LONGER_THAN_A_MONTH_SECONDS = 32 * 86_400.0


def paced(ledger: Ledger, config: Config, wanted: Mapping[str, Rates], now: int) -> dict[str, Rates]:
    """The rates of each workload: the wanted ones, or less where the budget would be spent before the month's end.

    A comparison of which no cost is known yet counts as free. Raises LedgerError.
    """
    begin = month_start(now / 1e6)
    end = month_start(begin / 1e6 + _LONGER_THAN_A_MONTH_SECONDS)
    left = float(config.road.monthly_budget_usd) - shadow_spend(ledger, begin) / PICODOLLARS
    flows = {workload: _flows(ledger, workload, now) for workload in wanted}
    paid = {
        workload: sum(
            rate * flow.per_second * flow.usd
            for rate, flow in zip((rates.teacher_answered, rates.student_answered), flows[workload], strict=True)
        )
        for workload, rates in wanted.items()
    }
    whole = sum(paid.values())
    return {
        workload: rates_within(
            rates,
            *flows[workload],
            usd_left=left * paid[workload] / whole if whole else left,
            seconds_left=(end - now) / 1e6,
        )
        for workload, rates in wanted.items()
    }


def differ(old: Rates | None, new: Rates) -> bool:
    """Whether rates are so different that the new ones are to be stored."""
    if old is None:
        return True
    pairs = zip((old.teacher_answered, old.student_answered), (new.teacher_answered, new.student_answered), strict=True)
    return any(abs(one - other) > _CHANGE * max(one, other) for one, other in pairs)


def _flows(ledger: Ledger, workload: str, now: int) -> tuple[Flow, Flow]:
    """What was seen of the teacher's answers, and of the student's."""
    by_student, every = ledger.road.answered(workload, now - _TRAFFIC, now)
    since = (now - _COSTS) // HOUR * HOUR
    spent = {
        str(one.group[1]): one.cost / PICODOLLARS
        for one in ledger.sums(("workload", "route"), since, None, Reason.SHADOW)
        if one.group[0] == workload
    }
    made = ledger.road.directions(workload, since)

    def flow(answered: int, asked: Route, direction: Direction) -> Flow:
        usd = spent.get(asked, 0.0) / made[direction] if made.get(direction) else 0.0
        return Flow(answered * 1e6 / _TRAFFIC, usd)

    return (
        flow(every - by_student, Route.STUDENT, Direction.TEACHER_ANSWERED),
        flow(by_student, Route.TEACHER, Direction.STUDENT_ANSWERED),
    )
