"""The share of the teacher's quality that a student retains, and the kinds of prompts on which it loses most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.statistics import Interval, retained

Array = NDArray[np.float64]


class Quality(NamedTuple):
    """Over `rows` prompts: the mean scores, their ratio with an interval, and the shares of prompts on which the
    student's score is higher (`wins`), equal or lower.
    """

    rows: int
    student: float
    teacher: float
    retained: Interval
    wins: float
    ties: float
    losses: float


class Weakness(NamedTuple):
    """A kind of prompt: the number of rows, the mean score gap on them, and their share of the total gap, in [0, 1]."""

    name: str
    rows: int
    gap: float
    share: float


def quality(student: Sequence[float], teacher: Sequence[float]) -> Quality:
    """The quality from paired scores in [0, 1]; retained is mean(student) / mean(teacher), with an interval that
    has a width also for one row, and where all rows are alike.

    Raises ValueError without rows, or where the teacher's mean is 0.
    """
    s, t = np.asarray(student, dtype=float), np.asarray(teacher, dtype=float)
    found = retained([(one, other, 1.0) for one, other in zip(student, teacher, strict=True)])
    if found is None:
        raise ValueError("no rows, or a teacher that scores 0 on all of them: there is nothing to retain")
    shares = [float(np.mean(s > t)), float(np.mean(s == t)), float(np.mean(s < t))]
    return Quality(len(s), float(s.mean()), float(t.mean()), found, *shares)


def weaknesses(kinds: Sequence[str], student: Sequence[float], teacher: Sequence[float]) -> list[Weakness]:
    """The `kinds` of prompts on which the student scores lower than the teacher, the largest share of the gap first."""
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
    """The median and the 95th percentile of the values; None where there are none."""
    if not values:
        return None
    p50, p95 = np.percentile(np.asarray(values, dtype=float), [50, 95])
    return float(p50), float(p95)
