"""What the plots of `tune` and `report` show: titles, units, bands, and marks that lie on their curves."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from breakeven.gateway.accounting.money import PICODOLLARS
from breakeven.gateway.economics.baseline import Estimate
from breakeven.gateway.economics.projection import Point
from breakeven.gateway.economics.statement import Statement
from breakeven.gateway.economics.totals import Sum
from breakeven.gateway.economics.traffic import NO_TRAFFIC
from breakeven.gateway.ledger.statements import Books
from breakeven.gateway.reports import chart, tuning_plot
from breakeven.gateway.reports.labels import Labels
from breakeven.gateway.reports.tuning import Goal, Money, tune
from breakeven.router.evaluation.tune import Traffic
from breakeven.router.policy import Route

DAY = 86_400_000_000


def line(axes: Any, label: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The points of the line whose label begins like that, (n, 2)."""
    (found,) = (one for one in axes.lines if str(one.get_label()).startswith(label))
    return np.column_stack([np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)])


def labels(axes: Any) -> set[str]:
    return {text.get_text() for text in axes.get_legend().get_texts()}


def lies_on(dot: np.ndarray[Any, np.dtype[np.float64]], curve: np.ndarray[Any, np.dtype[np.float64]]) -> bool:
    return bool(np.any(np.all(np.isclose(curve, dot[0]), axis=1)))


def traffic(count: int = 600, *, scored: bool = True) -> Traffic:
    rng = np.random.default_rng(2)
    score = rng.random(count)
    student = (rng.random(count) > score).astype(float)
    novel = rng.random(count) < 0.05
    if not scored:
        return Traffic(score, novel, cost=rng.random(count))
    return Traffic(score, novel, student, np.ones(count), rng.random(count), -rng.random(count))


@pytest.mark.parametrize("goal", [Goal(teacher_share=0.4), Goal(quality=0.8, escalation=True)])
def test_the_chosen_threshold_lies_on_the_curve_of_tune_within_its_band(goal: Goal) -> None:
    seen = traffic()
    tuned = tune(seen, goal, "abc", 0.9, None)
    (axes,) = tuning_plot.drawn(tuned, seen, None).axes
    dot, curve = line(axes, "threshold"), line(axes, "router")
    assert lies_on(dot, curve)
    assert dot[0].tolist() == pytest.approx([100 * tuned.chosen.share, 100 * float(tuned.chosen.retention or 0)])
    assert np.all(np.diff(curve[:, 0]) >= 0)
    assert labels(axes) >= {"95% interval", "router"}
    assert ("quality floor" in labels(axes)) == (goal.quality is not None)
    assert "abc" in axes.get_title()
    assert "600" in axes.get_title()
    assert "%" in axes.get_xlabel()
    assert "%" in axes.get_ylabel()
    (band,) = axes.collections
    low, high = (float(edge(band.get_paths()[0].vertices[:, 1])) for edge in (np.min, np.max))
    assert low < curve[:, 1].min() <= curve[:, 1].max() <= high


def test_the_dot_lies_on_the_curve_where_comparisons_say_the_quality() -> None:
    seen = traffic(300)
    assert seen.student is not None
    assert seen.teacher is not None
    compared = Labels(seen.score, seen.novel, seen.student, seen.teacher, np.linspace(1.0, 20.0, 300))
    tuned = tune(traffic(500, scored=False), Goal(teacher_share=0.3), "abc", 0.9, None, compared)
    (axes,) = tuning_plot.drawn(tuned, traffic(500, scored=False), compared).axes
    assert lies_on(line(axes, "threshold"), line(axes, "router"))


def test_without_quality_the_curve_is_of_the_cost() -> None:
    seen = traffic(scored=False)
    tuned = tune(seen, Goal(monthly_usd=300.0), "abc", 0.9, Money(1000.0, 0.0, 0.0))
    (axes,) = tuning_plot.drawn(tuned, seen, None).axes
    assert lies_on(line(axes, "threshold"), line(axes, "router"))
    assert "cost" in axes.get_ylabel()


def books(totals: list[float], investment: float, reached: int | None) -> Books:
    """The books of some days with these savings at their ends, in USD."""
    money = [round(PICODOLLARS * one) for one in totals]
    curve = [
        Point(day * DAY, (day + 1) * DAY, 0, 0, 0, 0, one, one - 10**12, one + 10**12) for day, one in enumerate(money)
    ]
    none, last = Estimate(0, 0, 0, 50), Estimate(money[-1], money[-1], money[-1], 50)
    until, invested, upstreams = len(totals) * DAY, round(PICODOLLARS * investment), {route: Sum() for route in Route}
    statement = Statement(
        0, until, upstreams, NO_TRAFFIC, none, 0, 0, 0, invested, last, 0, 50, 0, 1.0, reached, Fraction(1), 0
    )  # fmt: skip
    return Books(statement, curve, None)


def test_break_even_lies_on_the_curve_of_savings() -> None:
    # Within the second day, whose savings come late in it.
    (axes,) = chart.drawn(books([1.0, 11.0, 12.0], 6.0, DAY + 20 * 3_600_000_000)).axes
    dot, curve = line(axes, "break-even 1970-01-02"), line(axes, "cumulative savings")
    assert lies_on(dot, curve)
    assert np.all(np.diff(curve[:, 0]) > 0)
    assert labels(axes) >= {"95% interval", "cumulative savings", "investment $6.00"}
    assert axes.get_ylabel() == "USD"
    assert "UTC" in axes.get_xlabel()
    assert "investment" in axes.get_title()


def test_without_break_even_the_curve_has_its_days_only() -> None:
    (axes,) = chart.drawn(books([1.0, 2.0, 3.0], 6.0, None)).axes
    assert len(line(axes, "cumulative savings")) == 4
    assert not [text for text in labels(axes) if text.startswith("break-even")]
