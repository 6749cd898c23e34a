"""The few figures that `breakeven status` begins with."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from breakeven.gateway.accounting.money import dollars, exact
from breakeven.gateway.economics.baseline import Estimate
from breakeven.gateway.ledger import Ledger, statements
from breakeven.router.policy import Route


class Overview(NamedTuple):
    """What was answered and paid since the begin of the month (UTC), and saved since the begin of the ledger.

    `requests`: by who answered them; `spend`: what the teacher was paid, picodollars. `savings`: None until answers
    enough were compared, of which `needed` more are.
    """

    month: str
    requests: dict[str, int]
    spend: int
    savings: Estimate | None
    needed: int

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
        }

    def lines(self) -> list[str]:
        """For people."""
        every = sum(self.requests.values())
        by_student = self.requests.get(Route.STUDENT, 0)
        share = f", {by_student / every:.0%} of them by the student" if every else ""
        lines = [f"{self.month}: {every:,} requests answered{share}; the teacher was paid {dollars(self.spend)}"]
        if self.savings is None:
            lines.append(f"savings: not measured yet; {self.needed} more comparisons")
        else:
            low, high = dollars(self.savings.low), dollars(self.savings.high)
            lines.append(f"savings so far: {dollars(self.savings.value)} (95% interval {low} to {high})")
        return lines


def overview(ledger: Ledger, now: int) -> Overview:
    """The figures at `now`, microseconds since the Unix epoch. Raises LedgerError."""
    day = datetime.datetime.fromtimestamp(now / 1e6, datetime.UTC)
    begin = round(day.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp() * 1e6)
    requests = {str(one.group[0]): one.requests for one in ledger.sums(("route",), begin) if one.requests}
    spend = sum(one.cost for one in ledger.sums(("upstream",), begin) if one.group[0] == Route.TEACHER)
    whole = statements.read(ledger, now).statement
    return Overview(f"{day:%B %Y}", requests, spend, whole.savings, whole.pairs_needed)
