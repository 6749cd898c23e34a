"""The few figures that `breakeven status` begins with."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple

from breakeven.gateway.accounting.money import dollars, exact
from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.config.schema import Config
from breakeven.gateway.economics.baseline import Estimate
from breakeven.gateway.economics.periods import DAY
from breakeven.gateway.ledger import Ledger, statements
from breakeven.router.policy import Route

# How long it is told that a workload was named that the config does not have.
_NAMED = 7 * DAY


class Overview(NamedTuple):
    """What was answered and paid since the begin of the month (UTC), and saved since the begin of the ledger.

    `requests`: by who answered them; `spend`: what the teacher was paid, picodollars. `savings`: None until answers
    enough were compared, of which `needed` more are. `unknown`: workloads that clients named in the last seven days and
    the config does not have.
    """

    month: str
    requests: dict[str, int]
    spend: int
    savings: Estimate | None
    needed: int
    unknown: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, money as exact USD."""
        saved = self.savings
        return {
            "month": self.month,
            "requests": self.requests,
            "teacher_spend_usd": exact(self.spend),
            "savings_usd": None if saved is None else exact(saved.value),
            "savings_usd_lower": None if saved is None else exact(saved.low),
            "savings_usd_upper": None if saved is None else exact(saved.high),
            "comparisons_needed_for_savings": self.needed,
            "unknown_workloads": list(self.unknown),
        }

    def lines(self) -> list[str]:
        """For people."""
        every = sum(self.requests.values())
        by_student = self.requests.get(Route.STUDENT, 0)
        # Failed ones are among them, so that not all were answered.
        share = f", {by_student / every:.0%} at the student" if every else ""
        number = f"{every:,} request{'' if every == 1 else 's'}"
        lines = [f"{self.month}: {number}{share}; the teacher was paid {dollars(self.spend)}"]
        if self.savings is None:
            lines.append(f"savings: not measured yet; {self.needed} more comparisons")
        else:
            low, high = dollars(self.savings.low), dollars(self.savings.high)
            lines.append(f"savings so far: {dollars(self.savings.value)} (95% interval {low} to {high})")
        if self.unknown:
            lines.append(
                f"unknown workloads: clients name {', '.join(self.unknown)}, which the config does not have; their "
                "requests are counted in the workload of their key, or in default"
            )
        return lines


def overview(ledger: Ledger, config: Config, now: int) -> Overview:
    """The figures at `now`, microseconds since the Unix epoch. Raises LedgerError."""
    day = datetime.datetime.fromtimestamp(now / 1e6, datetime.UTC)
    begin = round(day.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp() * 1e6)
    requests = {str(one.group[0]): one.requests for one in ledger.sums(("route",), begin) if one.requests}
    spend = sum(one.cost for one in ledger.sums(("upstream",), begin) if one.group[0] == Route.TEACHER)
    whole = statements.read(ledger, now).statement
    named = {one.workload for one in ledger.road.unknown(now - _NAMED)}
    unknown = sorted(named - config.workload_names - {DEFAULT_WORKLOAD})
    return Overview(f"{day:%B %Y}", requests, spend, whole.savings, whole.pairs_needed, unknown)
