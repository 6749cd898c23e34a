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

from router import forest, votes
from router.calibration import Calibration
from router.features import Features
from router.reference import kin

C = 1.0
ALPHA = 6.0
_FOLDS = 5
_FOREST_ROWS = 3000
# How much logistic regression counts against ridge regression.
_LOGISTIC = 2.0
# How much the votes count against all others together with many rows, and with how many rows half of that.
_VOTES, _VOTES_ROWS = 0.6, 600
# How far a score gets from the base rate at least, in log-odds for a standard deviation of the margin.
_FLATTEST = 0.05


class Rows(NamedTuple):
    """What the models learn from: `design` for the linear ones, `measures` (n, len(SHAPE)) for the forest, and
    `points` (n, DIMENSIONS) in the latent space for the votes.
    """

    design: csr_matrix
    measures: NDArray[np.int64]
    points: votes.Points
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
    """Weights and bias of logistic and ridge regression, the forest, and who votes: points (n, DIMENSIONS) and
    opinions (n,).
    """

    linear: list[tuple[NDArray[np.float64], float]]
    forest: RandomForestRegressor
    voters: tuple[votes.Points, NDArray[np.float64]]

    def __call__(self, rows: Rows) -> NDArray[np.float64]:
        """(4, n): what each of the four says of these rows."""
        sums = [rows.design @ weights + bias for weights, bias in self.linear]
        points, opinions = self.voters
        poll = votes.Votes(points, votes.whole(opinions))
        said = [poll(point.tobytes()) for point in rows.points]
        return np.array([*sums, self.forest.predict(rows.measures), said])


def learn(rows: Rows, seed: int) -> Models:
    """Fit all of them."""
    logistic = LogisticRegression(C=C, max_iter=500).fit(rows.design, rows.worse)
    ridge = Ridge(alpha=ALPHA, solver="sparse_cg", tol=1e-3).fit(rows.design, rows.gap)
    linear = [(logistic.coef_[0], float(logistic.intercept_[0])), (ridge.coef_, float(ridge.intercept_))]
    # Of many rows some vote for all: a decision costs time for each.
    some = np.sort(np.random.default_rng(seed).permutation(len(rows.gap))[: votes.MOST])
    return Models(linear, grow(seed).fit(rows.measures, rows.target), (rows.points[some], rows.target[some]))


def grow(seed: int) -> RandomForestRegressor:
    """The forest over the shape measures, not yet fitted. Chosen on dev rows; small, so that a decision stays fast."""
    return RandomForestRegressor(
        forest.TREES, max_leaf_nodes=forest.LEAVES, min_samples_leaf=20, max_features=0.3, random_state=seed
    )


def blend(held_out: NDArray[np.float64], target: NDArray[np.float64], *, prior: bool = False) -> NDArray[np.float64]:
    """(4,): how much each model counts, from what they say of held-out rows, (4, n).

    Held-out rows have little to say on the ratio of forest and linear sum: both are best at telling domains apart,
    which ranks nothing within one. So only its fourth root is taken, and n-grams, which have more to learn, count
    the less the fewer rows there are; not so with a prior among the linear ones, which has learned them already.
    So the votes' share is not left to them either.
    """
    each = np.array([_LOGISTIC, 1.0]) / np.maximum(held_out[:2].std(axis=1), 1e-9)
    parts = np.stack([each @ held_out[:2], held_out[2]], axis=1)
    spread = np.maximum(parts.std(axis=0), 1e-9)
    linear, trees = LinearRegression(positive=True).fit(parts / spread, target).coef_
    if linear + trees <= 0.0:
        linear = trees = 1.0
    if not prior:
        trees *= _FOREST_ROWS / len(target)
    shares = np.array([*(each * (linear**0.25 / spread[0])), trees**0.25 / spread[1]])
    said = held_out[3].std()
    count = _VOTES * len(target) / (len(target) + _VOTES_ROWS)
    return np.append(shares, count * (shares @ held_out[:3]).std() / said if said > 1e-9 else 0.0)


def calibrate(margins: NDArray[np.float64], worse: NDArray[np.bool_]) -> Calibration:
    """The calibration of margins that no model was trained on, both (n,).

    It keeps their order: where few rows say that it is upside down it is they that are wrong, and scores stay near
    the base rate.
    """
    middle, spread = float(margins.mean()), max(float(margins.std()), 1e-9)
    u = (margins - middle) / spread
    parts = np.stack([u, u / (1 + np.abs(u))], axis=1)
    # Without regularisation: few parameters. Where both of them would turn the order around somewhere, one is enough.
    for taken in ([0, 1], [1], [0]):
        fitted = LogisticRegression(C=np.inf).fit(parts[:, taken], worse)
        found = np.zeros(2)
        found[taken] = fitted.coef_[0]
        slope, bend = found.tolist()
        if min(slope, slope + bend) >= 0.0:
            break
    if slope + bend < _FLATTEST:
        rate = float(worse.mean())
        return Calibration(_FLATTEST, 0.0, float(np.log(rate / (1.0 - rate))), middle, spread)
    return Calibration(slope, bend, float(fitted.intercept_[0]), middle, spread)


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
