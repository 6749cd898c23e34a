"""How much of the teacher's quality a student keeps, with intervals; and where it loses most. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.statistics import Interval, ratio_of_means

Array = NDArray[np.float64]
RESAMPLES = 2000


class Quality(NamedTuple):
    """Over `rows` prompts: mean scores, the share of the teacher's score that the student keeps, and who wins."""

    rows: int
    student: float
    teacher: float
    retained: Interval
    wins: float
    ties: float
    losses: float


class Weakness(NamedTuple):
    """A kind of prompt: its rows, the mean gap there, and its share of all that is lost, in [0, 1]."""

    name: str
    rows: int
    gap: float
    share: float


def quality(student: Sequence[float], teacher: Sequence[float], *, seed: int = 1) -> Quality:
    """Of paired scores in [0, 1]. Retained is mean(student) / mean(teacher), resampled by prompt.

    Raises ValueError for no rows or a teacher whose mean is 0.
    """
    s, t = np.asarray(student, dtype=float), np.asarray(teacher, dtype=float)
    if not len(s) or not t.mean():
        raise ValueError("no rows, or a teacher that scores 0 everywhere: nothing to retain")
    retained = ratio_of_means(s, t, resamples=RESAMPLES, seed=seed)
    shares = [float(np.mean(s > t)), float(np.mean(s == t)), float(np.mean(s < t))]
    return Quality(len(s), float(s.mean()), float(t.mean()), retained, *shares)


def weaknesses(kinds: Sequence[str], student: Sequence[float], teacher: Sequence[float]) -> list[Weakness]:
    """Kinds of prompts by what the student loses there, the most first; those that lose nothing are left out."""
    lost = np.maximum(np.asarray(teacher, dtype=float) - np.asarray(student, dtype=float), 0.0)
    total = float(lost.sum())
    found = []
    for name in sorted(set(kinds)):
        here = np.array([kind == name for kind in kinds])
        if lost[here].sum() > 0:
            share = float(lost[here].sum()) / total
            found.append(Weakness(name, int(here.sum()), float(lost[here].mean()), share))
    return sorted(found, key=lambda one: (-one.share, one.name))


def percentiles(values: Sequence[float]) -> tuple[float, float] | None:
    """Median and 95th percentile; None of nothing."""
    if not values:
        return None
    p50, p95 = np.percentile(np.asarray(values, dtype=float), [50, 95])
    return float(p50), float(p95)
