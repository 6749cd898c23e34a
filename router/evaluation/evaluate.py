"""How good a router is: APGR, CPT, AUROC, Brier, ECE, each with a bootstrap interval and beside controls.

Definitions of APGR and CPT: RouteLLM (arXiv 2406.18665v4, section 3). A score that ties is taken as if ties
were broken at random: the curve goes straight through a group of equal scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from breakeven.router import plots
from breakeven.router.outcomes import OutcomeRow, scores, texts
from breakeven.router.policy import Assessment
from breakeven.router.statistics import Interval, percentile_interval

Array = NDArray[np.float64]

_QUANTILES = np.linspace(0.0, 1.0, 11)
_BINS = 10
RESAMPLES = 1000


class Curve(NamedTuple):
    """Mean quality by share of teacher calls, (n + 1,) each, from no teacher to all teacher."""

    share: Array
    quality: Array


def curve(score: Array, student: Array, teacher: Array) -> Curve:
    """The cost-quality curve: prompts go to the teacher in order of falling score."""
    order = np.argsort(-score, kind="stable")
    gained = np.concatenate([[0.0], np.cumsum((teacher - student)[order])])
    sorted_score = score[order]
    # Only the ends of groups of equal scores are points of the curve; between them it is straight.
    ends = np.concatenate([[0], np.flatnonzero(np.diff(sorted_score)) + 1, [len(score)]])
    every = np.arange(len(score) + 1)
    quality = student.mean() + np.interp(every, ends, gained[ends]) / len(score)
    return Curve(every / len(score), quality)


def apgr(score: Array, student: Array, teacher: Array) -> float:
    """Average performance gap recovered: trapezoid over 11 quantiles. Random .5; nan where there is no gap."""
    points = curve(score, student, teacher)
    recovered = np.interp(_QUANTILES, points.share, _recovered(points))
    return float(np.trapezoid(recovered, _QUANTILES))


def cpt(part: float, score: Array, student: Array, teacher: Array) -> float:
    """The smallest share of teacher calls that recovers `part` of the gap; 1 where none does."""
    points = curve(score, student, teacher)
    reached = np.flatnonzero(_recovered(points) >= part)
    return float(points.share[reached[0]]) if len(reached) else 1.0


def auroc(score: Array, worse: NDArray[np.bool_]) -> float:
    """Probability that a prompt with a worse student answer scores higher than one without; nan for one kind."""
    positives = int(worse.sum())
    negatives = len(worse) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2.0)[inverse]
    return float((ranks[worse].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def brier(score: Array, worse: NDArray[np.bool_]) -> float:
    """Mean squared error of the probabilities."""
    return float(np.mean((score - worse) ** 2))


def ece(score: Array, worse: NDArray[np.bool_]) -> float:
    """Expected calibration error over 10 bins of equal numbers of prompts."""
    order = np.argsort(score, kind="stable")
    parts = np.array_split(order, _BINS)
    return float(sum(len(p) / len(score) * abs(score[p].mean() - worse[p].mean()) for p in parts if len(p)))


MEASURES: dict[str, Callable[[Array, Array, Array], float]] = {
    "APGR": apgr,
    "CPT(50)": lambda score, student, teacher: cpt(0.5, score, student, teacher),
    "CPT(80)": lambda score, student, teacher: cpt(0.8, score, student, teacher),
    "AUROC": lambda score, student, teacher: auroc(score, student < teacher),
    "Brier": lambda score, student, teacher: brier(score, student < teacher),
    "ECE": lambda score, student, teacher: ece(score, student < teacher),
}
# Only a probability has these.
_OF_PROBABILITIES = ("Brier", "ECE")


class Evaluation(NamedTuple):
    """One table: for each router the measures with intervals, and the curves for a plot."""

    rows: int
    student: float
    teacher: float
    measures: Mapping[str, Mapping[str, Interval]]
    curves: Mapping[str, Curve]

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        measures = {
            name: {measure: interval._asdict() for measure, interval in of.items()}
            for name, of in self.measures.items()
        }
        return {"rows": self.rows, "student": self.student, "teacher": self.teacher, "measures": measures}

    def table(self, title: str) -> Table:
        """For people."""
        table = Table(title=title, title_justify="left", caption="95% bootstrap intervals; CPT: lower is better")
        table.add_column("router")
        for name in MEASURES:
            table.add_column(name, justify="right")
        for name, of in self.measures.items():
            cells = (of.get(measure) for measure in MEASURES)
            table.add_row(name, *(f"{i.value:.3f} [{i.low:.3f}, {i.high:.3f}]" if i else "" for i in cells))
        return table


def measure(rows: Sequence[OutcomeRow], assess: Callable[[str], Assessment]) -> Evaluation:
    """Evaluate a router on outcome rows. Raises ValueError as `evaluate` does."""
    seen = texts(rows)
    score = np.array([assess(text).score for text in seen])
    return evaluate(score, np.array([len(text) for text in seen], dtype=float), *scores(rows))


def evaluate(
    score: Array, lengths: Array, student: Array, teacher: Array, *, resamples: int = RESAMPLES, seed: int = 1
) -> Evaluation:
    """`score` (n,), beside prompt length and random. Raises ValueError where no gap is there to recover."""
    if teacher.mean() <= student.mean():
        raise ValueError(
            f"the teacher's mean score {teacher.mean():.3f} is not above the student's {student.mean():.3f} on these "
            "rows: there is no gap to recover, and the student alone is the better choice"
        )
    rng = np.random.default_rng(seed)
    routers = {"router": score, "length": lengths, "random": rng.random(len(score))}
    samples = [rng.integers(0, len(score), len(score)) for _ in range(resamples)]
    measures: dict[str, dict[str, Interval]] = {}
    for name, values in routers.items():
        measures[name] = {
            measure: percentile_interval(
                function(values, student, teacher),
                np.array([function(values[s], student[s], teacher[s]) for s in samples]),
            )
            for measure, function in MEASURES.items()
            if name == "router" or measure not in _OF_PROBABILITIES
        }
    curves = {name: curve(values, student, teacher) for name, values in routers.items()}
    return Evaluation(len(score), float(student.mean()), float(teacher.mean()), measures, curves)


def draw(evaluation: Evaluation, path: Path) -> None:
    """The cost-quality curve as a PNG."""
    made, (axes,) = plots.figure()
    styles = {"router": (plots.GREEN, "-"), "length": (plots.ORANGE, "--")}
    for name, (color, line) in styles.items():
        points = evaluation.curves[name]
        value = evaluation.measures[name]["APGR"].value
        axes.plot(points.share * 100, points.quality, line, color=color, label=f"{name} (APGR {value:.3f})")
    axes.plot([0, 100], [evaluation.student, evaluation.teacher], ":", color=plots.GREY, label="random (APGR 0.5)")
    axes.set_xlabel("share of requests sent to the teacher, %")
    axes.set_ylabel("mean score of the answers")
    axes.set_title(f"Cost and quality on {evaluation.rows} held-out prompts")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right")
    plots.save(made, path)


def _recovered(points: Curve) -> Array:
    gap = points.quality[-1] - points.quality[0]
    return np.full_like(points.quality, np.nan) if gap == 0 else (points.quality - points.quality[0]) / gap
