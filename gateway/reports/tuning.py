"""`breakeven tune`: solve the threshold for a teacher share, a budget or a quality floor, and show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from breakeven.gateway.accounting.money import PICODOLLARS, dollars_of_float
from breakeven.gateway.accounting.prices import Price, cost
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.reports.labels import Labels, expected
from breakeven.gateway.reports.labels import solve as from_labels
from breakeven.gateway.reports.whatif import what_if
from breakeven.router.evaluation.tune import (
    GRID,
    Array,
    Point,
    Traffic,
    TuneError,
    for_budget,
    for_quality,
    for_quality_and_escalation,
    for_share,
    point,
)
from breakeven.router.model.artifact import Artifact
from breakeven.router.outcomes import OutcomeRow, scores
from breakeven.router.progress import Progress, counted, quiet

# Outcome rows carry output token counts but rarely prompt token counts: English has about four bytes a token.
_BYTES_PER_TOKEN = 4
# Teacher shares shown beside the solved threshold.
_SHOWN = (0.1, 0.25, 0.5, 0.75, 0.9)


class Goal(NamedTuple):
    """What to solve for: exactly one of `teacher_share`, `quality` and `monthly_usd` is given.

    `teacher_share` and `quality` are shares in [0, 1]; `confidence` is that of the quality floor. `escalation`: solve
    the log-probability floor of escalation along with the threshold.
    """

    teacher_share: float | None = None
    quality: float | None = None
    confidence: float = 0.95
    monthly_usd: float | None = None
    escalation: bool = False


class Money(NamedTuple):
    """Requests a month, hosting in USD a month, and the investment in USD."""

    requests: float
    hosting: float
    investment: float


class Tuned(NamedTuple):
    """A solved threshold for one artifact, with the share, quality and cost at it and at other thresholds.

    `months` has the monthly figures of `what_if` by threshold; it is empty where traffic or costs are unknown.
    """

    goal: Goal
    artifact: str
    novelty_threshold: float
    rows: int
    chosen: Point
    points: list[Point]
    months: dict[float, dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """The thresholds and their figures as JSON values; money is USD as floats."""
        return {
            "artifact": self.artifact,
            "novelty_threshold": self.novelty_threshold,
            "rows": self.rows,
            "goal": {name: value for name, value in self.goal._asdict().items() if value is not None},
            "threshold": self.chosen.threshold,
            "points": [
                one._asdict() | {"chosen": one == self.chosen} | self.months.get(one.threshold, {})
                for one in self.points
            ],
        }

    def table(self) -> Table:
        """One row for each threshold; the solved one is marked with an arrow."""
        table = Table(
            title=f"router {self.artifact}, {self.rows} rows, novelty threshold {self.novelty_threshold:g}",
            title_justify="left",
            caption="quality: relative to the teacher's, with a 95% interval" if self.chosen.low else None,
        )
        for name in ("", "threshold", "teacher share", "quality", "monthly cost", "monthly savings", "payback time"):
            table.add_column(name, justify="right")
        for one in self.points:
            month = self.months.get(one.threshold, {})
            quality = "" if one.retention is None else f"{one.retention:.1%} [{one.low:.1%}, {one.high:.1%}]"
            table.add_row(
                "->" if one == self.chosen else "",
                _threshold(one),
                f"{one.share:.1%}",
                quality,
                _dollars(month.get("monthly_cost_usd")),
                _dollars(month.get("monthly_savings_usd")),
                _months(month),
            )
        return table


def solve(
    traffic: Traffic, goal: Goal, money: Money | None, labels: Labels | None = None
) -> tuple[float, float | None]:
    """The threshold, and the escalation floor (mean log-probability) where that was solved too, else None.

    A quality floor is solved on the `labels`, compared answers of live traffic, where these are given, else on the
    scores of the traffic's own rows. Raises TuneError where the goal cannot be reached or guaranteed, BreakevenError
    for a budget without known traffic.
    """
    if goal.escalation and goal.quality is None:
        raise TuneError("--escalation needs a quality floor; give --quality")
    if goal.quality is not None and labels is not None:
        return from_labels(labels, goal.quality, goal.confidence, escalation=goal.escalation)
    if goal.escalation:
        assert goal.quality is not None
        return for_quality_and_escalation(traffic, goal.quality, goal.confidence)
    return _solve(traffic, goal, money), None


def _solve(traffic: Traffic, goal: Goal, money: Money | None) -> float:
    if goal.teacher_share is not None:
        return for_share(traffic, goal.teacher_share)
    if goal.quality is not None:
        return for_quality(traffic, goal.quality, goal.confidence)
    assert goal.monthly_usd is not None
    if money is None or money.requests <= 0:
        raise BreakevenError("--monthly-usd needs the monthly traffic: give --requests-per-month")
    return for_budget(traffic, (goal.monthly_usd - money.hosting) / money.requests)


def tune(
    traffic: Traffic,
    goal: Goal,
    artifact: str,
    novelty_threshold: float,
    money: Money | None,
    labels: Labels | None = None,
) -> Tuned:
    """Solve the threshold and compute the figures at it and at others. Raises TuneError, BreakevenError.

    `labels` are the comparisons of live traffic that say what quality to expect; of outcome rows it is measured.
    """
    threshold, floor = solve(traffic, goal, money, labels)
    others = [for_share(traffic, share) for share in _SHOWN if share >= traffic.novel.mean()]
    points = [at(traffic, labels, one) for one in sorted({0.0, *others, float(GRID[-1])} - {threshold})]
    chosen = at(traffic, labels, threshold, floor)
    points = sorted([*points, chosen], key=lambda one: one.threshold)
    months: dict[float, dict[str, Any]] = {}
    if money is not None and traffic.cost is not None and money.requests > 0:
        span = len(traffic.score) / money.requests
        for one in points:
            months[one.threshold] = what_if(
                traffic,
                one.threshold,
                min_logprob=one.min_logprob,
                # The quality is in `Point.retention`.
                labels=None,
                months=span,
                hosting_usd_per_month=money.hosting,
                investment_usd=money.investment,
            )
    return Tuned(goal, artifact, novelty_threshold, len(traffic.score), chosen, points, months)


def at(traffic: Traffic, labels: Labels | None, threshold: float, min_logprob: float | None = None) -> Point:
    """The effect of a threshold and an escalation floor on the traffic, with the quality by `labels`, if given."""
    found = point(traffic, threshold, min_logprob)
    kept = None if labels is None else expected(labels, threshold, min_logprob)
    return found if kept is None else found._replace(retention=kept.value, low=kept.low, high=kept.high)


def from_rows(
    rows: Sequence[OutcomeRow],
    artifact: Artifact,
    novelty_threshold: float,
    price: Price | None,
    progress: Progress = quiet,
) -> Traffic:
    """Outcome rows as arrays for the threshold solver, scored by `artifact`.

    Costs are in USD: `teacher_cost` of a row, else its tokens at `price`; None unless every row has one. Raises
    TuneError for a bad `student_mean_logprob`.
    """
    seen = [artifact.assess(row.text) for row in counted(rows, len(rows), progress)]
    novelty = np.array([one.novelty or 0.0 for one in seen])
    student, teacher = scores(rows)
    costs = [_cost(row, price) for row in rows]
    known = [one for one in costs if one is not None]
    return Traffic(
        np.array([one.score for one in seen]),
        novelty >= novelty_threshold,
        student,
        teacher,
        np.array(known) if len(known) == len(costs) else None,
        _logprobs(rows),
    )


def _logprobs(rows: Sequence[OutcomeRow]) -> Array | None:
    """`student_mean_logprob` of each row; None where any row lacks it."""
    values = [row.record.get("student_mean_logprob") for row in rows]
    for row, value in zip(rows, values, strict=True):
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not value <= 0.0:
            raise TuneError(f"row {row.id}: student_mean_logprob: must be a number, 0 or below")
    return np.array(values, dtype=float)


def _cost(row: OutcomeRow, price: Price | None) -> float | None:
    """What the teacher's answer to this row costs in USD; None where it is unknown."""
    given = row.record.get("teacher_cost")
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    output = row.record.get("teacher_tokens")
    if price is None or output is None:
        return None
    prompt = max(1, len(row.text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)
    return cost(Usage(prompt, 0, int(output), True), price).total / PICODOLLARS


def _threshold(one: Point) -> str:
    escalation = "" if one.min_logprob is None else f", escalate below {one.min_logprob:g}"
    return f"{one.threshold:.4f}{escalation}"


def _dollars(value: float | None) -> str:
    return "" if value is None else dollars_of_float(value)


def _months(month: dict[str, Any]) -> str:
    if "payback_months" not in month:
        return ""
    months = month["payback_months"]
    return "never" if months is None else f"{months:.1f} months"
