"""The figures: the promise, labels to the first proposal, cost regret, drift, and ranking by number of labels."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from scipy.stats import beta

from breakeven.gateway.road.stages import Stage
from breakeven.router.evaluation.evaluate import apgr
from breakeven.router.features.extract import extract
from breakeven.router.outcomes import OutcomeRow, scores
from breakeven.router.outcomes import read as read_rows
from breakeven.router.statistics import percentile_interval
from breakeven.router.training.train import fit
from tests.bench.road.learners import Fast, Real
from tests.bench.road.play import Player, Run
from tests.bench.road.source import Array, Source, both

FLOORS = (0.95, 0.98)
# A certified share of at least this is a tenth: shares are of weighted rows, and seldom round.
_TENTH = 0.09
_NEWEST = 500
_AGAIN = 1000
_RESAMPLES = 2000


class Figure(msgspec.Struct, frozen=True):
    """A number with its 95% interval; None where it is not finite."""

    value: float | None
    low: float | None
    high: float | None


class Played(msgspec.Struct, frozen=True, tag=True):
    """Runs of one source at one floor. `broken`: the share of runs in which the floor was broken at any moment by what
    was in force, measured on all rows; `labels`: the comparisons until a tenth was handed over, of the median run,
    None where that takes longer than the run; `share`: what the student was given at the end; `regret`: the
    teacher's calls, comparisons included, over those of the best fixed threshold in hindsight.
    """

    source: str
    floor: float
    learner: str
    runs: int
    broken: Figure
    labels: Figure
    share: Figure
    hindsight: float
    regret: Figure


class Drift(msgspec.Struct, frozen=True, tag=True):
    """Runs in which traffic switches. `held`: the share of runs in which the newest 500 requests keep the floor again
    1,000 requests after the switch and from then on; `noticed`: requests until the gateway returned to OBSERVE.
    """

    traffic: str
    floor: float
    runs: int
    held: Figure
    noticed: Figure


class Ranking(msgspec.Struct, frozen=True, tag=True):
    """APGR on `tested` rows after training on `labels` others, mean of `draws`, with an interval over rows."""

    source: str
    labels: int
    draws: int
    tested: int
    apgr: Figure
    router: str = "ours"


class Job(NamedTuple):
    """One run to play."""

    source: Source
    floor: float
    seed: int
    requests: int
    real: bool
    parts: tuple[tuple[int, int, int], ...]


class Outcome(NamedTuple):
    """What is kept of a run."""

    broken: bool
    labels: float
    share: float
    hindsight: float
    regret: float
    held: bool
    noticed: float


def play(job: Job) -> Outcome:
    """Play one run."""
    with tempfile.TemporaryDirectory() as folder:
        learner = Real(Path(folder)) if job.real else Fast()
        parts = list(job.parts) or [(job.requests, 0, len(job.source.texts))]
        return _outcome(Player(learner, job.floor, job.seed).play(job.source, parts), job)


def promise(sources: Iterable[Source], seeds: int, requests: int, *, real: bool, workers: int) -> Iterator[Played]:
    """Runs of each source at each floor, and then all of a floor together."""
    every: dict[float, list[Outcome]] = {floor: [] for floor in FLOORS}
    learner = "training" if real else "stand-in"
    for source in sources:
        for floor in FLOORS:
            found = _all([Job(source, floor, seed, requests, real, ()) for seed in range(seeds)], workers)
            every[floor] += found
            yield _played(source.name, floor, learner, found)
    for floor, found in every.items():
        yield _played("together", floor, learner, found)


def drift(pairs: Iterable[Sequence[Source]], seeds: int, requests: int, *, workers: int) -> Iterator[Drift]:
    """Runs that switch from the first source of each pair to the second half-way, with the real training."""
    floor = FLOORS[0]
    for first, second in pairs:
        traffic, at, end = both(first, second), len(first.texts), len(first.texts) + len(second.texts)
        parts = ((requests // 2, 0, at), (requests // 2, at, end))
        outcomes = _all([Job(traffic, floor, seed, requests, True, parts) for seed in range(seeds)], workers)
        noticed = np.array([one.noticed for one in outcomes])
        yield Drift(traffic.name, floor, seeds, share_of(one.held for one in outcomes), median_of(noticed))


def rankings(data: Path, split: str, wanted: Sequence[tuple[str, int, int]], workers: int) -> Iterator[Ranking]:
    """How well routers rank the rows of a split: `wanted` are sources, numbers of labels, and draws of these."""
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_ranking, *zip(*((data, split, *one) for one in wanted), strict=True))


def _ranking(data: Path, split: str, name: str, labels: int, draws: int) -> Ranking:
    path = data / f"{name}.jsonl.gz"
    return ranking(name, read_rows([path], "train"), read_rows([path], split), labels, draws)


def ranking(name: str, train: Sequence[OutcomeRow], test: Sequence[OutcomeRow], labels: int, draws: int) -> Ranking:
    """How well a router ranks the test rows after training on so many labels, a mean over draws of these."""
    student, teacher = scores(test)
    features = [extract(row.text) for row in test]
    found = []
    for seed in range(draws):
        drawn = np.random.default_rng(seed).permutation(len(train))[:labels]
        fitted = fit([train[number] for number in drawn]).difficulty()
        found.append(np.array([fitted.gain(one) for one in features]))

    return Ranking(name, min(labels, len(train)), draws, len(test), apgr_of(found, student, teacher))


def apgr_of(found: Sequence[Array], student: Array, teacher: Array) -> Figure:
    """The mean APGR of several routers' scores of the same rows, with a bootstrap interval over rows."""

    def mean(rows: Any) -> float:
        return float(np.mean([apgr(gains[rows], student[rows], teacher[rows]) for gains in found]))

    rng, count = np.random.default_rng(0), len(student)
    samples = np.array([mean(rng.integers(0, count, count)) for _ in range(200)])
    return Figure(*percentile_interval(mean(np.arange(count)), samples))


def share_of(flags: Iterable[bool]) -> Figure:
    """A share with the Clopper-Pearson interval (Biometrika 26, 1934)."""
    found = list(flags)
    count, of = sum(found), len(found)
    low = float(beta.ppf(0.025, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, of - count)) if count < of else 1.0
    return Figure(count / of, low, high)


def mean_of(values: Array) -> Figure:
    """A mean with a bootstrap interval."""
    return _bootstrapped(values, lambda drawn: drawn.mean(axis=-1))


def median_of(values: Array) -> Figure:
    """A median, which may be infinite, with a bootstrap interval."""

    def middle(drawn: Array) -> Array:
        found: Array = np.sort(drawn, axis=-1)[..., (drawn.shape[-1] - 1) // 2]
        return found

    return _bootstrapped(values, middle)


def _bootstrapped(values: Array, statistic: Callable[[Array], Array]) -> Figure:
    drawn = values[np.random.default_rng(0).integers(0, len(values), (_RESAMPLES, len(values)))]
    low, high = np.quantile(statistic(drawn), [0.025, 0.975], method="nearest")
    return Figure(*(float(one) if np.isfinite(one) else None for one in (statistic(values), low, high)))


def _all(jobs: Sequence[Job], workers: int) -> list[Outcome]:
    if workers == 1:
        return [play(job) for job in jobs]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(play, jobs, chunksize=-(-len(jobs) // workers)))


def _played(name: str, floor: float, learner: str, outcomes: Sequence[Outcome]) -> Played:
    of = functools.partial(_column, outcomes)
    return Played(
        name,
        floor,
        learner,
        len(outcomes),
        share_of(one.broken for one in outcomes),
        median_of(of("labels")),
        mean_of(of("share")),
        float(of("hindsight").mean()),
        mean_of(of("regret")),
    )


def _column(outcomes: Sequence[Outcome], name: str) -> Array:
    return np.array([getattr(one, name) for one in outcomes], dtype=np.float64)


def _outcome(run: Run, job: Job) -> Outcome:
    broken = any(one.kept < job.floor for one in run.live)
    tenth = [one.comparisons for one in run.live if one.promised >= _TENTH]
    fixed = (1.0 - run.hindsight) * len(run.by_student)
    switch = job.parts[0][0] if job.parts else 0
    held, noticed = _after(run, switch, job.floor)
    return Outcome(
        broken,
        float(min(tenth, default=np.inf)),
        run.live[-1].share if run.live else 0.0,
        run.hindsight,
        run.cost() / max(fixed, 1.0),
        held,
        noticed,
    )


def _after(run: Run, switch: int, floor: float) -> tuple[bool, float]:
    """Whether the newest requests keep the floor from 1,000 requests after the switch on, and when it was noticed."""
    routed = np.where(run.by_student, run.student, run.teacher)
    sums = np.cumsum(np.stack([routed, run.teacher]), axis=1)
    newest = sums[:, _NEWEST:] - sums[:, :-_NEWEST]
    kept = newest[0] >= floor * newest[1]
    returned = [at - switch for at, stage, _ in run.stages if at >= switch and stage == Stage.OBSERVE]
    return bool(kept[switch + _AGAIN - _NEWEST :].all()), float(min(returned, default=np.inf))
