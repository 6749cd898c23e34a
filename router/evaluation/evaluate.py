"""Measuring a router: APGR, CPT, AUROC, Brier score and ECE with bootstrap intervals, compared with two baselines.

APGR and CPT are defined by RouteLLM (arXiv 2406.18665v4, section 3). Prompts with equal scores count as if they were
in random order: the cost-quality curve is a straight line through each group of ties.
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
from breakeven.router.progress import Progress, counted, quiet
from breakeven.router.statistics import Interval, percentile_interval

Array = NDArray[np.float64]

_QUANTILES = np.linspace(0.0, 1.0, 11)
_BINS = 10
RESAMPLES = 1000
# For the band of a picture fewer are enough.
_BAND_SAMPLES = 300


class Curve(NamedTuple):
    """The mean quality at each share of teacher calls, (n + 1,) each, from share 0 to share 1."""

    share: Array
    quality: Array


class Band(NamedTuple):
    """The 95% interval, `low` to `high`, of the quality at some shares of teacher calls, (k,) each."""

    share: Array
    low: Array
    high: Array


def curve(score: Array, student: Array, teacher: Array) -> Curve:
    """The cost-quality curve when prompts go to the teacher by descending `score`; arguments are (n,) each."""
    order = np.argsort(-score, kind="stable")
    gained = np.concatenate([[0.0], np.cumsum((teacher - student)[order])])
    sorted_score = score[order]
    # Only the ends of groups of ties are points of the curve; it is linear between them.
    ends = np.concatenate([[0], np.flatnonzero(np.diff(sorted_score)) + 1, [len(score)]])
    every = np.arange(len(score) + 1)
    quality = student.mean() + np.interp(every, ends, gained[ends]) / len(score)
    return Curve(every / len(score), quality)


def apgr(score: Array, student: Array, teacher: Array) -> float:
    """Average performance gap recovered: the area under the curve by the trapezoidal rule at 11 quantiles.

    0.5 for random routing; nan where student and teacher have the same mean.
    """
    points = curve(score, student, teacher)
    recovered = np.interp(_QUANTILES, points.share, _recovered(points))
    return float(np.trapezoid(recovered, _QUANTILES))


def cpt(part: float, score: Array, student: Array, teacher: Array) -> float:
    """Call-performance threshold: the smallest share of teacher calls that recovers `part` (in [0, 1]) of the gap.

    1 where no share does.
    """
    points = curve(score, student, teacher)
    reached = np.flatnonzero(_recovered(points) >= part)
    return float(points.share[reached[0]]) if len(reached) else 1.0


def auroc(score: Array, worse: NDArray[np.bool_]) -> float:
    """The area under the ROC curve of `score` for `worse`, (n,) each; nan where all prompts are of one class."""
    positives = int(worse.sum())
    negatives = len(worse) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2.0)[inverse]
    return float((ranks[worse].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def brier(score: Array, worse: NDArray[np.bool_]) -> float:
    """The Brier score: the mean squared error of the probabilities `score` for `worse`, (n,) each."""
    return float(np.mean((score - worse) ** 2))


def ece(score: Array, worse: NDArray[np.bool_]) -> float:
    """The expected calibration error of the probabilities `score` for `worse`, over 10 bins of equal size."""
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
# Measures that are only defined for probabilities, not for the baselines.
_OF_PROBABILITIES = ("Brier", "ECE")


class Evaluation(NamedTuple):
    """The measures of a router and its baselines on `rows` prompts, and their cost-quality curves, of the router with
    its `band`.

    `student` and `teacher` are the mean scores of each alone.
    """

    rows: int
    student: float
    teacher: float
    measures: Mapping[str, Mapping[str, Interval]]
    curves: Mapping[str, Curve]
    band: Band

    def to_dict(self) -> dict[str, Any]:
        """The measures as a dict for JSON, without the curves."""
        measures = {
            name: {measure: interval._asdict() for measure, interval in of.items()}
            for name, of in self.measures.items()
        }
        return {"rows": self.rows, "student": self.student, "teacher": self.teacher, "measures": measures}

    def table(self, title: str) -> Table:
        """The measures as a table for the terminal."""
        table = Table(title=title, title_justify="left", caption="95% bootstrap intervals; CPT: lower is better")
        table.add_column("router")
        for name in MEASURES:
            table.add_column(name, justify="right")
        for name, of in self.measures.items():
            cells = (of.get(measure) for measure in MEASURES)
            table.add_row(name, *(f"{i.value:.3f} [{i.low:.3f}, {i.high:.3f}]" if i else "" for i in cells))
        return table


def measure(
    rows: Sequence[OutcomeRow],
    assess: Callable[[str], Assessment],
    *,
    probabilities: bool = True,
    progress: Progress = quiet,
) -> Evaluation:
    """Evaluate a router, given as the function from a text to its assessment, on outcome rows.

    `probabilities` and errors as for `evaluate`. Scoring is the first half of the `progress`, resampling the second.
    """
    seen = texts(rows)
    score = np.array([assess(text).score for text in counted(seen, 2 * len(seen), progress)])
    return evaluate(
        score,
        np.array([len(text) for text in seen], dtype=float),
        *scores(rows),
        probabilities=probabilities,
        progress=lambda done, of: progress(of + done, 2 * of),
    )


def evaluate(
    score: Array,
    lengths: Array,
    student: Array,
    teacher: Array,
    *,
    probabilities: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 1,
    progress: Progress = quiet,
) -> Evaluation:
    """Measure a router's `score` against routing by prompt length (`lengths`) and at random; arguments are (n,) each.

    `student` and `teacher` are the scores of their answers, `resamples` the number of bootstrap samples. Where the
    scores only rank, `probabilities` is False, and what is a measure of probabilities is left out. Raises
    ValueError where the teacher's mean is not above the student's: there is no gap to recover.
    """
    if teacher.mean() <= student.mean():
        raise ValueError(
            f"the teacher's mean score {teacher.mean():.3f} is not above the student's {student.mean():.3f} on these "
            "rows: there is no gap to recover, and the student alone is the better choice"
        )
    rng = np.random.default_rng(seed)
    routers = {"router": score, "length": lengths, "random": rng.random(len(score))}
    samples = [rng.integers(0, len(score), len(score)) for _ in range(resamples)]
    measures: dict[str, dict[str, Interval]] = {}
    for name, values in counted(routers.items(), len(routers), progress):
        measures[name] = {
            measure: percentile_interval(
                function(values, student, teacher),
                np.array([function(values[s], student[s], teacher[s]) for s in samples]),
            )
            for measure, function in MEASURES.items()
            if (name == "router" and probabilities) or measure not in _OF_PROBABILITIES
        }
    curves = {name: curve(values, student, teacher) for name, values in routers.items()}
    band = _band([curve(score[s], student[s], teacher[s]) for s in samples[:_BAND_SAMPLES]])
    return Evaluation(len(score), float(student.mean()), float(teacher.mean()), measures, curves, band)


def draw(evaluation: Evaluation, path: Path) -> None:
    """Draw the cost-quality curves to `path` as PNG. Raises ValueError without matplotlib, and OSError."""
    plots.save(drawn(evaluation), path)


def drawn(evaluation: Evaluation) -> Any:
    """The matplotlib figure of the curves as they were measured, that of the router with its 95% interval.

    Raises ValueError without matplotlib.
    """
    made, (axes,) = plots.figure()
    band = evaluation.band
    shade = {"color": plots.GREEN, "alpha": 0.15, "linewidth": 0, "label": "router, 95% interval"}
    axes.fill_between(band.share * 100, band.low, band.high, **shade)
    styles = {"router": (plots.GREEN, "-"), "length": (plots.ORANGE, "--"), "random": (plots.GREY, ":")}
    for name, (color, line) in styles.items():
        points, measured = evaluation.curves[name], evaluation.measures[name]["APGR"]
        label = f"{name}: APGR {measured.value:.3f} [{measured.low:.3f}, {measured.high:.3f}]"
        axes.plot(points.share * 100, points.quality, line, color=color, label=label)
    axes.set_xlabel("share of requests sent to the teacher, %")
    axes.set_ylabel("mean score of the answers, 0 to 1")
    axes.set_xlim(-2, 102)
    axes.set_title(f"Cost and quality on {evaluation.rows} held-out prompts")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right")
    return made


def _band(curves: Sequence[Curve]) -> Band:
    """The interval of curves of bootstrap samples."""
    shares = np.linspace(0.0, 1.0, 101)
    qualities = np.array([np.interp(shares, one.share, one.quality) for one in curves])
    low, high = np.quantile(qualities, [0.025, 0.975], axis=0)
    return Band(shares, low, high)


def _recovered(points: Curve) -> Array:
    gap = points.quality[-1] - points.quality[0]
    return np.full_like(points.quality, np.nan) if gap == 0 else (points.quality - points.quality[0]) / gap
