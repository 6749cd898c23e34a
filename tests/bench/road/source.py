"""Sources of traffic: files of outcome rows, from which requests are drawn with replacement."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router import outcomes
from breakeven.router.evaluation.evaluate import apgr

Array = NDArray[np.float64]

# Of a larger file this many rows are taken at random, the same ones each time.
MOST = 3000
_SEED = 20261128


class Source(NamedTuple):
    """Rows that requests are drawn from: their texts, and the scores of the student and the teacher, (n,) each."""

    name: str
    texts: list[str]
    student: Array
    teacher: Array

    def kept(self, by_student: NDArray[np.bool_]) -> float:
        """The quality that is kept, as a share of the teacher's, where the student answers the rows of this mask."""
        return float(np.where(by_student, self.student, self.teacher).sum() / self.teacher.sum())

    def largest_share(self, scores: Array, floor: float) -> float:
        """The largest share of rows, those with the lowest scores, that the student can be given under the floor."""
        order = np.argsort(scores, kind="stable")
        lost = np.cumsum((self.teacher - self.student)[order])
        fine = np.flatnonzero(lost <= (1.0 - floor) * self.teacher.sum())
        return float(fine[-1] + 1) / len(order) if len(fine) else 0.0

    def apgr(self, scores: Array) -> float:
        """How well these scores (n,) rank (see `evaluate.apgr`)."""
        return apgr(scores, self.student, self.teacher)


@functools.cache
def read(path: Path, most: int = MOST) -> Source:
    """The source in a file of outcome rows, named after it."""
    rows = outcomes.read([path])
    random.Random(_SEED).shuffle(rows)
    return of_rows(path.name.partition(".")[0], rows[:most])


def of_rows(name: str, rows: Sequence[outcomes.OutcomeRow]) -> Source:
    """The source of these rows."""
    return Source(name, outcomes.texts(rows), *outcomes.scores(rows))


def both(first: Source, second: Source) -> Source:
    """The rows of two sources, the first one's first."""
    return Source(
        f"{first.name}, then {second.name}",
        first.texts + second.texts,
        np.append(first.student, second.student),
        np.append(first.teacher, second.teacher),
    )
