"""What-if: what any threshold would have meant for recorded traffic. From scores and costs; no prompt is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breakeven.gateway.accounting.money import PICODOLLARS
from breakeven.gateway.economics.periods import HOUR, MONTH
from breakeven.gateway.ledger.decisions import Scored
from breakeven.router.evaluation.tune import Traffic

# A shorter record says nothing about a month.
_LEAST = HOUR
Array = NDArray[np.float64]
POINTS = tuple(i / 20 for i in range(21))


def traffic(scored: Sequence[Scored], novelty_threshold: float) -> Traffic:
    """Recorded requests as the solver wants them; costs in USD."""
    novelty = np.array([0.0 if one.novelty is None else one.novelty for one in scored])
    return Traffic(
        np.array([one.score for one in scored]),
        novelty >= novelty_threshold,
        cost=np.array([one.baseline for one in scored]) / PICODOLLARS,
    )


def months(scored: Sequence[Scored], since: int | None, until: int | None) -> float | None:
    """How long the record is; None where it is too short to say anything."""
    if not scored:
        return None
    start = min(one.at for one in scored) if since is None else since
    end = max(one.at for one in scored) if until is None else until
    return (end - start) / MONTH if end - start >= _LEAST else None


def what_if(
    seen: Traffic,
    threshold: float,
    *,
    min_logprob: float | None = None,
    months: float | None,
    hosting_usd_per_month: float,
    investment_usd: float,
) -> dict[str, Any]:
    """Share, cost, expected quality and break-even at one threshold; monthly figures are null without `months`."""
    up = seen.sent_up(threshold, min_logprob)
    assert seen.cost is not None
    count = max(1, len(up))
    teacher, baseline = float((seen.cost * up).sum()), float(seen.cost.sum())
    found: dict[str, Any] = {
        "threshold": threshold,
        "requests": len(up),
        "teacher_share": float(up.sum()) / count,
        "novel_share": float(seen.novel.sum()) / count,
        # Scores are calibrated probabilities: their sum over the student's requests is a number to expect.
        "expected_worse_share": float(seen.score[~up].sum()) / count,
        "expected_worse_interval": _interval(seen.score[~up], count),
        "baseline_usd": baseline,
        "teacher_usd": teacher,
        "monthly_cost_usd": None,
        "monthly_savings_usd": None,
        "payback_months": None,
    }
    if months is not None:
        savings = (baseline - teacher) / months - hosting_usd_per_month
        found["monthly_cost_usd"] = teacher / months + hosting_usd_per_month
        found["monthly_savings_usd"] = savings
        found["payback_months"] = investment_usd / savings if savings > 0 else None
    return found


def _interval(scores: Array, count: int) -> list[float]:
    """Nine of ten samples of such requests fall between: independent trials, nearly normal."""
    mean, deviation = float(scores.sum()), float(np.sqrt((scores * (1 - scores)).sum()))
    return [max(0.0, mean - 1.645 * deviation) / count, min(float(count), mean + 1.645 * deviation) / count]
