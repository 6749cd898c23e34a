"""What-if analysis: the share, cost and quality that any threshold would have given recorded traffic.

It needs the recorded scores and costs only, no prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breakeven.gateway.accounting.money import PICODOLLARS
from breakeven.gateway.economics.baseline import Ratios
from breakeven.gateway.economics.periods import HOUR, MONTH
from breakeven.gateway.ledger.decisions import Scored
from breakeven.gateway.reports.labels import Labels, expected
from breakeven.router.evaluation.tune import Traffic, for_share

# A record of less than this is too short to extrapolate to a month.
_MIN_SPAN = HOUR
Array = NDArray[np.float64]
# The thresholds that the console draws.
POINTS = tuple(i / 20 for i in range(21))


def traffic(scored: Sequence[Scored], novelty_threshold: float, ratios: Ratios | None) -> Traffic:
    """Recorded requests as arrays for the threshold solver: score, whether novel, and cost at the teacher in USD.

    `ratios` estimate what the teacher would have charged for those that the student answered. Without them the cost is
    None, unless the teacher answered all.
    """
    novelty = np.array([0.0 if one.novelty is None else one.novelty for one in scored])
    return Traffic(
        np.array([one.score for one in scored]),
        novelty >= novelty_threshold,
        cost=_cost(scored, ratios),
    )


def _cost(scored: Sequence[Scored], ratios: Ratios | None) -> Array | None:
    if ratios is not None:
        return np.array([ratios.value(one.traffic) for one in scored]) / PICODOLLARS
    if any(one.student_input or one.student_output for one in scored):
        return None
    return np.array([one.known for one in scored]) / PICODOLLARS


def by_share(seen: Traffic, count: int) -> list[float]:
    """Thresholds that send evenly spaced shares of the traffic to the teacher, `count` at most, the highest threshold
    first; without those that send the same. None without traffic.
    """
    if not len(seen.score):
        return []
    least = float(seen.novel.mean())
    shares = [least] + [share for i in range(count) if (share := i / (count - 1)) > least]
    return list(dict.fromkeys(for_share(seen, share) for share in shares))


def months(scored: Sequence[Scored], since: int | None, until: int | None) -> float | None:
    """Length of the record in months of 730 hours; None where it is shorter than an hour.

    `since` and `until` are its bounds in microseconds since the epoch; None: those of the requests themselves.
    """
    if not scored:
        return None
    start = min(one.at for one in scored) if since is None else since
    end = max(one.at for one in scored) if until is None else until
    return (end - start) / MONTH if end - start >= _MIN_SPAN else None


def what_if(
    seen: Traffic,
    threshold: float,
    *,
    min_logprob: float | None = None,
    labels: Labels | None,
    months: float | None,
    hosting_usd_per_month: float,
    investment_usd: float,
) -> dict[str, Any]:
    """Teacher share, cost, expected quality and payback time at one threshold, as JSON values.

    The quality is expected from `labels`, comparisons of this student, and null while they are too few; scores say
    nothing of it. `months` is the length of the recorded traffic; without it the monthly figures are null. Money is in
    USD, and null while the traffic's cost at the teacher is not known.
    """
    kept = None if labels is None else expected(labels, threshold, min_logprob)
    to_teacher = seen.sent_up(threshold, min_logprob)
    count = max(1, len(to_teacher))
    found: dict[str, Any] = {
        "threshold": threshold,
        "requests": len(to_teacher),
        "teacher_share": float(to_teacher.sum()) / count,
        "novel_share": float(seen.novel.sum()) / count,
        "expected_retention": None if kept is None else kept.value,
        "expected_retention_interval": None if kept is None else [kept.low, kept.high],
        "baseline_usd": None,
        "teacher_usd": None,
        "monthly_cost_usd": None,
        "monthly_savings_usd": None,
        "payback_months": None,
    }
    if seen.cost is None:
        return found
    teacher, baseline = float((seen.cost * to_teacher).sum()), float(seen.cost.sum())
    found["baseline_usd"], found["teacher_usd"] = baseline, teacher
    if months is not None:
        savings = (baseline - teacher) / months - hosting_usd_per_month
        found["monthly_cost_usd"] = teacher / months + hosting_usd_per_month
        found["monthly_savings_usd"] = savings
        found["payback_months"] = investment_usd / savings if savings > 0 else None
    return found
