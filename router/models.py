"""The models that training fits, what each counts in their sum, and the folds that are held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from router import forest
from router.features import Features
from router.reference import kin

C = 1.0
ALPHA = 12.0
_FOLDS = 5
_FOREST_ROWS = 3000


class Rows(NamedTuple):
    """What the models learn from: `design` for the linear ones, `measures` (n, len(SHAPE)) for the forest."""

    design: csr_matrix
    measures: NDArray[np.int64]
    worse: NDArray[np.bool_]
    gap: NDArray[np.float64]

    def some(self, pick: NDArray[Any]) -> Rows:
        """Those with these numbers, or where the mask is true."""
        return Rows(*(part[pick] for part in self))

    @property
    def target(self) -> NDArray[np.float64]:
        """Whether the student is worse and by how much, each standardised."""
        both = np.stack([self.worse, self.gap])
        spread = np.maximum(both.std(axis=1), 1e-9)
        found: NDArray[np.float64] = ((both - both.mean(axis=1)[:, None]) / spread[:, None]).sum(axis=0)
        return found


class Models(NamedTuple):
    """Weights and bias of logistic and ridge regression, and the forest."""

    linear: list[tuple[NDArray[np.float64], float]]
    forest: RandomForestRegressor

    def __call__(self, rows: Rows) -> NDArray[np.float64]:
        """(3, n): what each of the three says of these rows."""
        sums = [rows.design @ weights + bias for weights, bias in self.linear]
        return np.array([*sums, self.forest.predict(rows.measures)])


def learn(rows: Rows, seed: int) -> Models:
    """Fit all of them."""
    logistic = LogisticRegression(C=C, max_iter=500).fit(rows.design, rows.worse)
    ridge = Ridge(alpha=ALPHA, solver="sparse_cg", tol=1e-3).fit(rows.design, rows.gap)
    linear = [(logistic.coef_[0], float(logistic.intercept_[0])), (ridge.coef_, float(ridge.intercept_))]
    return Models(linear, grow(seed).fit(rows.measures, rows.target))


def grow(seed: int) -> RandomForestRegressor:
    """The forest over the shape measures, not yet fitted. Chosen on dev rows; small, so that a decision stays fast."""
    return RandomForestRegressor(
        forest.TREES, max_leaf_nodes=forest.LEAVES, min_samples_leaf=20, max_features=0.3, random_state=seed
    )


def blend(held_out: NDArray[np.float64], target: NDArray[np.float64], *, prior: bool = False) -> NDArray[np.float64]:
    """(3,): how much each model counts, the linear ones alike, from what they say of held-out rows, (3, n).

    Held-out rows have little to say on the ratio of forest and linear sum: both are best at telling domains apart,
    which ranks nothing within one. So only its fourth root is taken, and n-grams, which have more to learn, count
    the less the fewer rows there are; not so with a prior among the linear ones, which has learned them already.
    """
    even = 1.0 / np.maximum(held_out[:2].std(axis=1), 1e-9)
    parts = np.stack([even @ held_out[:2], held_out[2]], axis=1)
    spread = np.maximum(parts.std(axis=0), 1e-9)
    linear, trees = LinearRegression(positive=True).fit(parts / spread, target).coef_
    if linear + trees <= 0.0:
        linear = trees = 1.0
    if not prior:
        trees *= _FOREST_ROWS / len(target)
    return np.array([*(even * (linear**0.25 / spread[0])), trees**0.25 / spread[1]])


def folds(
    features: Sequence[Features], worse: NDArray[np.bool_], seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Train and test rows of each fold: rows that are nearly the same, such as questions on one passage, are in one.

    Kept apart they would make n-grams look better than they are on unseen rows.
    """
    count = min(_FOLDS, int(min(worse.sum(), (~worse).sum())))
    leaders = np.array(kin(features))
    sizes = np.bincount(leaders, minlength=len(leaders))[leaders]
    # What takes up a tenth of the rows is the kind of traffic.
    groups = np.where(sizes > len(leaders) / 10, np.arange(len(leaders)), leaders)
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(groups, worse, groups)
    found = [(train, test) for train, test in split if len(test)]
    if any(len(np.unique(worse[train])) < 2 for train, _ in found):
        found = list(StratifiedKFold(count, shuffle=True, random_state=seed).split(groups, worse))
    return found
