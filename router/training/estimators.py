"""The models that training fits for the two heads, what each counts in its head, and the folds that are held out."""

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
from breakeven.router.model.heads import HEADS, Margins, worth
from breakeven.router.training.novelty import kin

# Of each head's logistic regression over n-grams and measures: a teacher fails less often, so that its rows say less.
C = (1.0, 2.0)
_FOLDS = 5
# How far the parts of a head are held back from what held-out rows say on their ratios, as logistic regression's C: few
# rows tell little on three numbers.
_SHARES_C = 0.01
# How easily the votes come to count with many rows, and with how many rows half of that.
_VOTES, _VOTES_ROWS = 0.6, 600
# Linear sum, forest and votes.
PARTS = 3
# How far a score gets from the base rate at least, in log-odds for a standard deviation of the margin.
_FLATTEST = 0.05


class Rows(NamedTuple):
    """What the models learn from: `design` for the linear ones and `prior` (n, HEADS), another router's margins;
    `measures` (n, len(SHAPE)) for the forest, and `points` (n, DIMENSIONS) in the latent space for the votes.
    `errors` (n, HEADS): one minus the score of the student's answer and of the teacher's.
    """

    design: csr_matrix
    prior: NDArray[np.float64]
    measures: NDArray[np.int64]
    points: neighbours.Points
    errors: NDArray[np.float64]

    def some(self, pick: NDArray[Any]) -> Rows:
        """Those with these numbers, or where the mask is true."""
        return Rows(*(part[pick] for part in self))

    def columns(self, head: int) -> csr_matrix:
        """What one head's logistic regression reads: the design, and last what the prior says of this head."""
        return hstack([self.design, csr_matrix(self.prior[:, head : head + 1])]).tocsr()

    @property
    def worse(self) -> NDArray[np.bool_]:
        """(n,): whether the student's answer is the worse one."""
        found: NDArray[np.bool_] = self.errors[:, 0] > self.errors[:, 1]
        return found


class Line(NamedTuple):
    """Weights and bias of a logistic regression."""

    weights: NDArray[np.float64]
    bias: float


class Models(NamedTuple):
    """Of each head its logistic regression; the forest; and who votes: points (n, DIMENSIONS) and
    opinions (n, HEADS).
    """

    linear: list[Line]
    forest: RandomForestRegressor
    voters: tuple[neighbours.Points, NDArray[np.float64]]

    def __call__(self, rows: Rows) -> NDArray[np.float64]:
        """(HEADS, PARTS, n): what linear sum, forest and votes say of these rows."""
        sums = [rows.columns(head) @ weights + bias for head, (weights, bias) in enumerate(self.linear)]
        points, opinions = self.voters
        poll = neighbours.Votes(points, neighbours.whole(opinions))
        said = np.array([poll(point.tobytes()) for point in rows.points]).reshape(-1, HEADS)
        return np.stack([np.array(sums), self.forest.predict(rows.measures).T, said.T], axis=1)


class Blend(NamedTuple):
    """How much each part counts in its head, `shares` (HEADS, PARTS), and the `biases` (HEADS,)."""

    shares: NDArray[np.float64]
    biases: NDArray[np.float64]

    def __call__(self, said: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,): what asking the teacher is worth, from what the models say, (HEADS, PARTS, n)."""
        margins = np.einsum("hp,hpn->hn", self.shares, said) + self.biases[:, None]
        return np.array([worth(Margins(*pair)) for pair in margins.T.tolist()])


def learn(rows: Rows, seed: int) -> Models:
    """Fit all of them."""
    linear = [_logistic(rows.columns(head), error, C[head]) for head, error in enumerate(rows.errors.T)]
    # Of many rows some vote for all: a decision costs time for each.
    some = np.sort(np.random.default_rng(seed).permutation(len(rows.errors))[: neighbours.MOST])
    opinions = rows.errors - rows.errors.mean(axis=0)
    return Models(linear, grow(seed).fit(rows.measures, rows.errors), (rows.points[some], opinions[some]))


def grow(seed: int) -> RandomForestRegressor:
    """The forest over the shape measures, not yet fitted. Chosen on dev rows; small, so that a decision stays fast."""
    return RandomForestRegressor(
        forest.TREES, max_leaf_nodes=forest.LEAVES, min_samples_leaf=20, max_features=0.3, random_state=seed
    )


def _logistic(columns: Any, error: NDArray[np.float64], strength: float) -> Line:
    """Logistic regression on errors in [0, 1]: a row that fails by a third is a third of a row that fails, and two
    thirds of one that does not. Without columns, or where all rows are the same, it is their mean error with one row
    more, of which half failed.
    """
    failed, right = error > 0.0, error < 1.0
    if not columns.shape[1] or error.min() == error.max():
        rate = (float(error.sum()) + 0.5) / (len(error) + 1.0)
        return Line(np.zeros(columns.shape[1]), float(np.log(rate / (1.0 - rate))))
    pick = np.concatenate([failed.nonzero()[0], right.nonzero()[0]])
    labels = np.arange(len(pick)) < failed.sum()
    weight = np.concatenate([error[failed], 1.0 - error[right]])
    found = LogisticRegression(C=strength, max_iter=500).fit(columns[pick], labels, weight)
    return Line(found.coef_[0], float(found.intercept_[0]))


def blend(held_out: NDArray[np.float64], errors: NDArray[np.float64]) -> Blend:
    """The shares, from what the models say of held-out rows, (HEADS, PARTS, n), and the `errors` (n, HEADS).

    Regularised logistic regression over the standardised parts, in which none counts less than nothing, tells their
    ratios; the votes of few rows are held back most. Then one that hardly is tells how much their sum counts.
    """
    shares, biases = np.zeros((HEADS, PARTS)), np.zeros(HEADS)
    count = len(errors)
    ease = np.array([1.0, 1.0, _VOTES * count / (count + _VOTES_ROWS)])
    for head, (said, error) in enumerate(zip(held_out, errors.T, strict=True)):
        scale = ease / np.maximum(said.std(axis=1), 1e-9)
        kept = (said.std(axis=1) > 1e-9).nonzero()[0]
        centred = (said.T - said.mean(axis=1)) * scale
        while True:
            ratios = _logistic(centred[:, kept], error, _SHARES_C).weights
            if (ratios >= 0.0).all():
                break
            kept = np.delete(kept, ratios.argmin())
        total = centred[:, kept] @ ratios
        spread = max(float(total.std()), 1e-9)
        fitted = _logistic(total[:, None] / spread, error, 1.0)
        shares[head, kept] = fitted.weights[0] / spread * ratios * scale[kept]
        biases[head] = fitted.bias - shares[head] @ said.mean(axis=1)
    return Blend(shares, biases)


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
