"""The estimators that training fits for both heads, how they are stacked and calibrated, and cross-validation folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from breakeven.router.features.extract import Features
from breakeven.router.model import forest, neighbours
from breakeven.router.model.calibration import Calibration
from breakeven.router.model.heads import HEADS, Logits, gain
from breakeven.router.training.novelty import near_duplicate_groups

# Regularisation of each head's logistic regression over n-grams and shape measures (scikit-learn's C). Weaker for the
# teacher: it fails less often, so that its rows carry less information.
C = (1.0, 2.0)
_FOLDS = 5
# Regularisation of the stacking weights, as C: few rows say little about three numbers.
_STACK_C = 0.01
# The kNN part is regularised more with few rows: its limit for many rows, and the number of rows at half of that.
_KNN_EASE, _KNN_HALF_ROWS = 0.6, 600
# The trees also predict the difference of both errors, with this weight, so that they split where asking the teacher
# gains most, not only where both fail. Chosen on dev rows, with 300 rows to train on.
DIFFERENCE = 3.0
# Linear sum, forest and kNN.
PARTS = 3
# The least slope of a calibration, in log-odds for a standard deviation of the gain.
_LEAST_SLOPE = 0.05


class Rows(NamedTuple):
    """The training data of n rows as the estimators read it.

    `design` (n, columns): n-grams and shape measures for the linear models; `prior` (n, HEADS): the log-odds of another
    router, standardised; `measures` (n, len(SHAPE)): shape measures for the forest; `points` (n, DIMENSIONS): points of
    the latent space for kNN; `errors` (n, HEADS): one minus the score of the student's and of the teacher's answer.
    """

    design: csr_matrix
    prior: NDArray[np.float64]
    measures: NDArray[np.int64]
    points: neighbours.Points
    errors: NDArray[np.float64]

    def subset(self, pick: NDArray[Any]) -> Rows:
        """The rows that `pick` selects: row numbers, or a mask (n,)."""
        return Rows(*(part[pick] for part in self))

    def columns(self, head: int) -> csr_matrix:
        """The input of one head's logistic regression: the design, and as last column the prior of this head."""
        return hstack([self.design, csr_matrix(self.prior[:, head : head + 1])]).tocsr()

    @property
    def worse(self) -> NDArray[np.bool_]:
        """Whether the student's answer is worse than the teacher's, (n,)."""
        found: NDArray[np.bool_] = self.errors[:, 0] > self.errors[:, 1]
        return found


class LinearModel(NamedTuple):
    """The weights (columns,) and the bias of a logistic regression."""

    weights: NDArray[np.float64]
    bias: float


class Models(NamedTuple):
    """The fitted base models: each head's logistic regression, the forest, and kNN's points (m, DIMENSIONS) and
    labels (m, HEADS).
    """

    linear: list[LinearModel]
    forest: RandomForestRegressor
    knn: tuple[neighbours.Points, NDArray[np.float64]]

    def __call__(self, rows: Rows) -> NDArray[np.float64]:
        """The outputs of the linear models, the forest and kNN for n rows, (HEADS, PARTS, n)."""
        sums = [rows.columns(head) @ weights + bias for head, (weights, bias) in enumerate(self.linear)]
        points, labels = self.knn
        knn = neighbours.KernelKnn(points, neighbours.to_fixed_point(labels))
        near = np.array([knn(point.tobytes()) for point in rows.points]).reshape(-1, HEADS)
        return np.stack([np.array(sums), self.forest.predict(rows.measures)[:, :HEADS].T, near.T], axis=1)


class Stack(NamedTuple):
    """The second level of stacking (Wolpert, 1992): the `weights` (HEADS, PARTS) of the base models' outputs, and the
    `biases` (HEADS,).
    """

    weights: NDArray[np.float64]
    biases: NDArray[np.float64]

    def __call__(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """The expected gain of asking the teacher (see `heads.gain`), (n,), from base outputs (HEADS, PARTS, n)."""
        logits = np.einsum("hp,hpn->hn", self.weights, outputs) + self.biases[:, None]
        return np.array([gain(Logits(*pair)) for pair in logits.T.tolist()])


def fit_models(rows: Rows, seed: int) -> Models:
    """Fit the base models on n rows: a logistic regression for each head, one forest for both, and the kNN table."""
    linear = [_logistic(rows.columns(head), error, C[head]) for head, error in enumerate(rows.errors.T)]
    # Of many rows kNN keeps a random part: a decision takes time for each.
    some = np.sort(np.random.default_rng(seed).permutation(len(rows.errors))[: neighbours.MAX_PROMPTS])
    labels = rows.errors - rows.errors.mean(axis=0)
    trees = untrained_forest(seed).fit(rows.measures, forest_targets(rows.errors))
    return Models(linear, trees, (rows.points[some], labels[some]))


def forest_targets(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the forest is fitted to, (n, HEADS + 1): the `errors` (n, HEADS) and their weighted difference."""
    return np.column_stack([errors, DIFFERENCE * (errors[:, 0] - errors[:, 1])])


def untrained_forest(seed: int) -> RandomForestRegressor:
    """The forest over the shape measures, not yet fitted.

    Its size was chosen on dev rows, and to keep decisions fast.
    """
    return RandomForestRegressor(
        forest.TREES, max_leaf_nodes=forest.LEAVES, min_samples_leaf=20, max_features=0.3, random_state=seed
    )


def _logistic(columns: Any, error: NDArray[np.float64], strength: float) -> LinearModel:
    """Logistic regression on errors in [0, 1]: a row with an error of a third counts as a third of a failure and two
    thirds of a success. Without columns, or where all rows have the same error, the log-odds of the mean error with one
    more row of error one half.
    """
    failed, right = error > 0.0, error < 1.0
    if not columns.shape[1] or error.min() == error.max():
        rate = (float(error.sum()) + 0.5) / (len(error) + 1.0)
        return LinearModel(np.zeros(columns.shape[1]), float(np.log(rate / (1.0 - rate))))
    pick = np.concatenate([failed.nonzero()[0], right.nonzero()[0]])
    labels = np.arange(len(pick)) < failed.sum()
    weight = np.concatenate([error[failed], 1.0 - error[right]])
    found = LogisticRegression(C=strength, max_iter=500).fit(columns[pick], labels, weight)
    return LinearModel(found.coef_[0], float(found.intercept_[0]))


def fit_stack(held_out: NDArray[np.float64], errors: NDArray[np.float64]) -> Stack:
    """The stacking weights, from base outputs for held-out rows (HEADS, PARTS, n) and the `errors` (n, HEADS).

    A strongly regularised logistic regression over the standardised outputs, restricted to non-negative weights, gives
    their ratios; with few rows the weight of kNN is held back most. A second one, hardly regularised, gives the scale
    of their sum.
    """
    all_weights, biases = np.zeros((HEADS, PARTS)), np.zeros(HEADS)
    count = len(errors)
    ease = np.array([1.0, 1.0, _KNN_EASE * count / (count + _KNN_HALF_ROWS)])
    for head, (outputs, error) in enumerate(zip(held_out, errors.T, strict=True)):
        scale = ease / np.maximum(outputs.std(axis=1), 1e-9)
        kept = (outputs.std(axis=1) > 1e-9).nonzero()[0]
        centred = (outputs.T - outputs.mean(axis=1)) * scale
        while True:
            ratios = _logistic(centred[:, kept], error, _STACK_C).weights
            if (ratios >= 0.0).all():
                break
            kept = np.delete(kept, ratios.argmin())
        total = centred[:, kept] @ ratios
        spread = max(float(total.std()), 1e-9)
        fitted = _logistic(total[:, None] / spread, error, 1.0)
        all_weights[head, kept] = fitted.weights[0] / spread * ratios * scale[kept]
        biases[head] = fitted.bias - all_weights[head] @ outputs.mean(axis=1)
    return Stack(all_weights, biases)


def fit_calibration(gains: NDArray[np.float64], worse: NDArray[np.bool_]) -> Calibration:
    """The calibration of out-of-fold gains (n,) to whether the student was `worse` (n,).

    It never reverses the order of the gains: where the rows suggest that, they are too few, and all scores stay near
    the base rate.
    """
    middle, spread = float(gains.mean()), max(float(gains.std()), 1e-9)
    u = (gains - middle) / spread
    parts = np.stack([u, u / (1 + np.abs(u))], axis=1)
    # Without regularisation: there are few parameters. Where both terms together would reverse the order somewhere, one
    # of them is used alone.
    for taken in ([0, 1], [1], [0]):
        fitted = LogisticRegression(C=np.inf).fit(parts[:, taken], worse)
        found = np.zeros(2)
        found[taken] = fitted.coef_[0]
        slope, bend = found.tolist()
        if min(slope, slope + bend) >= 0.0:
            break
    if slope + bend < _LEAST_SLOPE:
        rate = float(worse.mean())
        return Calibration(_LEAST_SLOPE, 0.0, float(np.log(rate / (1.0 - rate))), middle, spread)
    return Calibration(slope, bend, float(fitted.intercept_[0]), middle, spread)


def grouped_folds(
    features: Sequence[Features], worse: NDArray[np.bool_], seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The row numbers to train on and to test on, for each fold of a stratified cross-validation.

    Near duplicates, such as questions on the same passage, are in the same fold: in different folds they would make
    n-grams look better than they are on unseen rows.
    """
    count = min(_FOLDS, int(min(worse.sum(), (~worse).sum())))
    leaders = np.array(near_duplicate_groups(features))
    sizes = np.bincount(leaders, minlength=len(leaders))[leaders]
    # A group of more than a tenth of the rows is a kind of traffic, not a set of near duplicates.
    groups = np.where(sizes > len(leaders) / 10, np.arange(len(leaders)), leaders)
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(groups, worse, groups)
    found = [(train, test) for train, test in split if len(test)]
    if any(len(np.unique(worse[train])) < 2 for train, _ in found):
        found = list(StratifiedKFold(count, shuffle=True, random_state=seed).split(groups, worse))
    return found
