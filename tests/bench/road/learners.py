"""What learns in a played run: the real training, or a fast stand-in that goes through the same promise.

The stand-in is kernel ridge regression of the teacher's advantage over the same n-grams and shape measures, which takes
milliseconds. It ranks about as well after a few hundred comparisons, so that the promise can be tried 200 times.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.sparse import csr_matrix

from breakeven.gateway.road import learn as learning
from breakeven.gateway.road.promise import ranks
from breakeven.gateway.road.task import NEWEST, Labelled, Learned, Task
from breakeven.router.features.extract import SHAPE_UNIT, extract
from breakeven.router.model import artifact
from breakeven.router.training.design import Design, idf_of
from tests.bench.road.source import Array, Source

_FOLDS = 5
_RIDGE = 10.0
_CLIPPED = 3.0
_WIDTH = 2048

Floats = NDArray[np.float32]


class Router(NamedTuple):
    """What was learned, the router's scores of all rows of the source, (n,), and their novelty where it has one."""

    learned: Learned
    scores: Array
    novelty: Array | None


class Compared(NamedTuple):
    """A compared request: the row of the source, one over the probability, and the unit that routed it."""

    row: int
    weight: float
    unit: str


class Learner(Protocol):
    """Learns from comparisons of rows of a source, the oldest first."""

    def __call__(self, source: Source, compared: Sequence[Compared], floor: float, error: float) -> Router: ...


def task_of(source: Source, compared: Sequence[Compared], floor: float, error: float) -> Task:
    """The task to learn from these comparisons."""
    student, teacher = source.student.tolist(), source.teacher.tolist()
    rows = [
        Labelled(str(at), at, source.texts[row], student[row], teacher[row], weight, None, unit)
        for at, (row, weight, unit) in enumerate(compared)
    ]
    return Task(rows, floor, error)


class Real:
    """The training of the product, which writes artifacts to a folder."""

    def __init__(self, folder: Path) -> None:
        self._out = folder / "artifact"

    def __call__(self, source: Source, compared: Sequence[Compared], floor: float, error: float) -> Router:
        learned = learning.learn(task_of(source, compared, floor, error), self._out)
        loaded = artifact.load(self._out)
        found = [loaded.assess(text) for text in source.texts]
        # The hash of an artifact holds the time; what has to be the same in two runs must not.
        return Router(learned, np.array([one.score for one in found]), np.array([one.novelty for one in found]))


class Fast:
    """The stand-in."""

    def __call__(self, source: Source, compared: Sequence[Compared], floor: float, error: float) -> Router:
        task = task_of(source, compared, floor, error)
        weight, picked = learning.weights(task.rows), np.array([one.row for one in compared])
        kernel, gain = kernel_of(tuple(source.texts)), source.teacher - source.student
        older = len(picked) - len(picked) // NEWEST
        # The same row, drawn twice, is in one fold.
        folds = np.append(_hashed(picked[:older]), np.full(len(picked) - older, _FOLDS))
        held_out = np.zeros(len(picked))
        for fold in range(_FOLDS):
            train, test = picked[:older][folds[:older] != fold], picked[folds == fold]
            held_out[folds == fold] = _ridge(kernel, train, gain[train], test)
        scores = _ridge(kernel, picked[:older], gain[picked[:older]], np.arange(len(gain)))
        # As the real scores, they are below 1.
        scores = 1.0 / (1.0 + np.exp(-np.clip(scores, -30.0, 30.0)))
        newest = scores[picked[older:]]
        held_out[older:] = newest
        name = hashlib.sha256(picked.tobytes()).hexdigest()[:12]
        ranking = learning.Ranking(ranks(held_out, folds, weight), name, True, newest, weight[older:])
        return Router(learning.promised(task, ranking), scores, None)


@functools.lru_cache(maxsize=2)
def kernel_of(texts: Sequence[str]) -> Floats:
    """The inner products of all texts (n, n): of n-grams and word vectors, hashed to _WIDTH columns with random signs
    (Charikar et al., ICALP 2002), and a Gaussian one of shape measures.
    """
    features = [extract(text) for text in texts]
    columns = Design(features, idf_of(features)).columns
    rng, count = np.random.default_rng(0), columns.shape[1]
    signs = csr_matrix((rng.choice([-1.0, 1.0], count), (np.arange(count), rng.integers(0, _WIDTH, count))))
    sketch = (columns @ signs).toarray().astype(np.float32)
    shape = np.array([item.shape for item in features], dtype=np.float32) / SHAPE_UNIT
    scaled = np.clip((shape - shape.mean(axis=0)) / np.maximum(shape.std(axis=0), 1e-9), -_CLIPPED, _CLIPPED)
    norms = (scaled**2).sum(axis=1)
    distance = norms[:, None] + norms[None] - 2.0 * scaled @ scaled.T
    found: Floats = sketch @ sketch.T + np.exp(-distance / (2.0 * scaled.shape[1])).astype(np.float32)
    return found


def _ridge(kernel: Floats, train: NDArray[np.int64], gain: Array, test: NDArray[np.int64]) -> Array:
    mean = gain.mean()
    inner = kernel[np.ix_(train, train)] + _RIDGE * np.eye(len(train), dtype=np.float32)
    weights = solve(inner, (gain - mean).astype(np.float32), assume_a="pos", check_finite=False, overwrite_a=True)
    found: Array = (kernel[np.ix_(test, train)] @ weights).astype(np.float64) + mean
    return found


def _hashed(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """A fold for each row number, the same each time."""
    return (rows * 2654435761 % 4294967296 >> 16) % _FOLDS
