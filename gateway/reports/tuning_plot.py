"""The picture of `breakeven tune`: quality, or cost where quality is unknown, over the teacher's share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from breakeven.gateway.reports.labels import Labels
from breakeven.gateway.reports.tuning import Tuned, at
from breakeven.router import plots
from breakeven.router.evaluation.tune import GRID, Point, Traffic, for_share

# Teacher shares at which the curve is computed.
_SHARES = np.linspace(0.0, 1.0, 26)


def draw(tuned: Tuned, traffic: Traffic, labels: Labels | None, path: Path) -> None:
    """Write a PNG with the curve, its 95% interval, and the solved threshold; arguments as for `tune`.

    Raises OSError, and ValueError without matplotlib.
    """
    plots.save(drawn(tuned, traffic, labels), path)


def drawn(tuned: Tuned, traffic: Traffic, labels: Labels | None) -> Any:
    """The same as a matplotlib figure. Raises ValueError without matplotlib."""
    made, (axes,) = plots.figure()
    points = _curve(tuned, traffic, labels)
    if tuned.chosen.retention is None:
        _costs(axes, tuned, traffic, points)
    else:
        _quality(axes, tuned, points)
    escalated = "" if tuned.chosen.min_logprob is None else ", with escalation"
    axes.set_title(f"Router {tuned.artifact} on {tuned.rows:,} requests{escalated}")
    axes.set_xlabel("teacher share of requests, %")
    axes.set_xlim(-2, 102)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right")
    return made


def _curve(tuned: Tuned, traffic: Traffic, labels: Labels | None) -> list[Point]:
    """The points of the curve by teacher share: all as the chosen one, which is among them, was computed."""
    shares = [share for share in _SHARES.tolist() if share >= traffic.novel.mean()]
    others = {0.0, float(GRID[-1]), *(for_share(traffic, share) for share in shares)} - {tuned.chosen.threshold}
    found = [at(traffic, labels, one, tuned.chosen.min_logprob) for one in sorted(others)]
    return sorted([*found, tuned.chosen], key=lambda one: (one.share, -one.threshold))


def _quality(axes: Any, tuned: Tuned, points: list[Point]) -> None:
    known = [one for one in points if one.retention is not None and one.low is not None and one.high is not None]
    share = [100 * one.share for one in known]
    low, high = ([100 * float(getattr(one, name)) for one in known] for name in ("low", "high"))
    axes.fill_between(share, low, high, color=plots.GREEN, alpha=0.15, linewidth=0, label="95% interval")
    axes.plot(share, [100 * float(one.retention or 0) for one in known], color=plots.GREEN, label="router")
    if tuned.goal.quality is not None:
        axes.axhline(100 * tuned.goal.quality, color=plots.ORANGE, linestyle="--", label="quality floor")
    assert tuned.chosen.retention is not None
    _mark(axes, tuned, 100 * tuned.chosen.retention)
    axes.set_ylabel("quality, % of the teacher's")


def _costs(axes: Any, tuned: Tuned, traffic: Traffic, points: list[Point]) -> None:
    cost = traffic.cost if traffic.cost is not None else np.ones(len(traffic.score))

    def part(one: Point) -> float:
        sent = traffic.sent_up(one.threshold, one.min_logprob)
        return 100 * float((cost * sent).sum() / max(1e-12, cost.sum()))

    axes.plot([100 * one.share for one in points], [part(one) for one in points], color=plots.GREEN, label="router")
    _mark(axes, tuned, part(tuned.chosen))
    axes.set_ylabel("teacher cost, % of the teacher alone")


def _mark(axes: Any, tuned: Tuned, value: float) -> None:
    label = f"threshold {tuned.chosen.threshold:.3f}: teacher share {tuned.chosen.share:.0%}"
    axes.plot([100 * tuned.chosen.share], [value], "o", color=plots.GREEN, markersize=9, label=label)
