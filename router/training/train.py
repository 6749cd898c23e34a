"""Training the difficulty classifier with scikit-learn, calibrated on rows that it was not trained on.

It ranks by the gap between teacher and student, never by "the student fails" alone: where the teacher fails too,
nothing is gained by asking it. So there are two heads, one for each model's answer, with the same parts: logistic
regression over n-grams and measures of shape, a small forest that reads the measures together, and the votes of the
training prompts around a text. `heads.worth` makes one number of both, and a calibration on out-of-fold ones makes it
the probability that the student is worse.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from breakeven.router.features.extract import UNIT, Features, extract
from breakeven.router.features.kernel_numpy import PLACES
from breakeven.router.model import artifact, forest, neighbours
from breakeven.router.model.calibration import Calibration
from breakeven.router.model.difficulty import BIASES, SCALE, Difficulty
from breakeven.router.model.heads import HEADS
from breakeven.router.model.tables import Tables
from breakeven.router.outcomes import OutcomeError, OutcomeRow, scores, texts
from breakeven.router.training.estimators import PARTS, Blend, Rows, blend, calibrate, folds, learn
from breakeven.router.training.lsa import fit_space
from breakeven.router.training.novelty import Reference, fit_novelty

_MIN_ROWS = 40
# The shape measures beside the n-grams: standardised, then scaled so that regularisation holds them back.
SHAPE_SCALE = 0.1
# The prior's margin beside the n-grams: standardised, then scaled so that regularisation hardly holds it back.
_PRIOR_SCALE = 3.0
# On how many of the rows, those most novel to the others, the rate that novel texts' scores are pulled to is measured,
# and as how many rows at the rate of all of them count: few rows tell a rate badly.
_STRANGEST, _AT_THE_RATE = 0.1, 50
_SEED = 20261125


class Fit(NamedTuple):
    """A fitted pipeline. `weights` (HEADS, PLACES) and `shape` (HEADS, len(SHAPE)) on features before standardisation,
    `mean` (len(SHAPE),) what the shape measures are on average, `bias` (HEADS,). `base`: how often the student is
    worse on texts that are novel to the others; `noise`: how much another draw of the rows would move a score, as a
    standard deviation. `reference`: the rows as a reference set for novelty.
    """

    idf: NDArray[np.float64]
    weights: NDArray[np.float64]
    shape: NDArray[np.float64]
    mean: NDArray[np.float64]
    bias: NDArray[np.float64]
    trees: Tables
    voters: Tables
    calibration: Calibration
    base: float
    noise: float
    reference: Reference

    def tables(self) -> dict[str, NDArray[Any]]:
        """The arrays of an artifact, in fixed point."""
        weighted = np.rint((self.idf * self.weights).T * SCALE, order="C")
        if np.abs(weighted).max() >= 2**31:
            raise OutcomeError("a weight is too large to store; are there enough rows?")
        squared = np.rint(self.idf**2 * 65536.0)
        tables = {"weighted": weighted.astype(np.int32), "squared": squared.astype(np.int32)}
        return {**tables, "shape": self.shape, "mean": self.mean, **self.trees, **self.voters}

    def difficulty(self) -> Difficulty:
        """The same, at serving speed."""
        return Difficulty(self.tables(), self.numbers())

    def numbers(self) -> dict[str, float]:
        """What `difficulty.NUMBERS` names."""
        return {**dict(zip(BIASES, self.bias.tolist(), strict=True)), **self.calibration._asdict()}


def fit(rows: Sequence[OutcomeRow], seed: int = _SEED, prior: Difficulty | None = None) -> Fit:
    """Train and calibrate; the same rows give the same, in whatever order. Raises OutcomeError where they cannot teach
    anything.

    With a `prior`, such as the shipped artifact's, its margins are one feature more of each head, whose weight the rows
    decide: a few hundred of them are then enough.
    """
    # Folds and trees are drawn by number.
    rows = sorted(rows, key=lambda row: row.id)
    errors = 1.0 - np.stack(scores(rows), axis=1)
    worse = errors[:, 0] > errors[:, 1]
    fewest = int(min(worse.sum(), (~worse).sum()))
    if len(rows) < _MIN_ROWS or fewest < 2:
        raise OutcomeError(
            f"{len(rows)} rows, on {int(worse.sum())} of which the student is worse: at least {_MIN_ROWS} rows are "
            "needed, with some of either kind; add outcome rows"
        )
    features = [extract(text) for text in texts(rows)]
    reference = fit_novelty(features)
    idf = _idf(features) if prior is None else prior.idf
    matrix = _matrix(features, idf)
    # A place that no row has would only cost time: its weight is zero.
    used = np.flatnonzero(np.asarray(matrix.sum(axis=0)).ravel())
    shape = np.array([item.shape for item in features]) / UNIT
    mean, deviation = shape.mean(axis=0), shape.std(axis=0)
    factor = SHAPE_SCALE / np.where(deviation > 1e-9, deviation, np.inf)
    known = _Prior(prior, features)
    design = hstack([matrix[:, used], csr_matrix((shape - mean) * factor)]).tocsr()
    space = fit_space(features, idf, seed)
    points = neighbours.Space(space).points(features)
    data = Rows(design, known.columns, np.array([item.shape for item in features]), points, errors)

    held_out = np.zeros((HEADS, PARTS, len(rows)))
    for train, test in folds(features, worse, seed):
        held_out[..., test] = learn(data.some(train), seed)(data.some(test))
    blended = blend(held_out, errors)
    calibration = calibrate(blended(held_out), worse)

    models = learn(data, seed)
    linear, of_trees, of_votes = blended.shares.T
    weights = linear[:, None] * np.array([weights for weights, _ in models.linear])
    bias = blended.biases + linear * np.array([bias for _, bias in models.linear])
    grams = np.zeros((HEADS, PLACES))
    grams[:, used] = weights[:, : len(used)]
    own = weights[:, len(used) : -1] * factor
    trees = forest.tables([tree.tree_ for tree in models.forest.estimators_], of_trees)
    grams, own, bias, trees = known.into(weights[:, -1], grams, own, bias, trees, mean)
    voted, opinions = models.voters
    voters = {**space, "votes_points": voted, "votes_opinions": neighbours.whole(of_votes * opinions)}
    noise = _noise(data, blended, calibration, seed)
    novel = worse[reference.strangest(_STRANGEST)]
    base = float((novel.sum() + _AT_THE_RATE * worse.mean()) / (len(novel) + _AT_THE_RATE))
    return Fit(idf, grams, own, mean, bias, trees, voters, calibration, base, noise, reference)


class _Prior:
    """Another classifier's margins as columns of the design, one a head, and its weights in the result. Its voters stay
    behind: they know other traffic, and would take time at each decision.
    """

    def __init__(self, prior: Difficulty | None, features: Sequence[Features]) -> None:
        self._prior = prior
        margins = np.zeros((len(features), HEADS))
        if prior is not None:
            margins = np.array([prior.sums(item) for item in features])
        self._mean, deviation = margins.mean(axis=0), margins.std(axis=0)
        self._scale = _PRIOR_SCALE / np.where(deviation > 1e-9, deviation, np.inf)
        self.columns = (margins - self._mean) * self._scale

    def into(
        self,
        weight: NDArray[np.float64],
        grams: NDArray[np.float64],
        shape: NDArray[np.float64],
        bias: NDArray[np.float64],
        trees: Tables,
        mean: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], Tables]:
        """The columns' `weight` (HEADS,) spread over what the prior is made of: one set of weights serves both."""
        if self._prior is None:
            return grams, shape, bias, trees
        weight = weight * self._scale
        of = self._prior.weights
        # The prior's shape measures are around its own averages.
        bias = bias + weight * (of.bias - self._mean + of.shape @ (mean - of.mean))
        trees = forest.joined(trees, self._prior.forest.tables(weight))
        return grams + weight[:, None] * of.grams, shape + weight[:, None] * of.shape, bias, trees


def _noise(rows: Rows, blended: Blend, calibration: Calibration, seed: int) -> float:
    """The standard error of a score: two models of a third of the rows each differ on the last third by the
    square root of 2 * 3 times as much as one of all rows would from another.
    """
    third = np.random.default_rng(seed).integers(0, 3, len(rows.errors))
    rest = rows.some(third == 2)
    rated = []
    for part in (0, 1):
        taken = rows.some(third == part)
        if len(np.unique(taken.worse)) < 2 or not len(rest.errors):
            return 0.0
        rated.append(np.array([calibration(margin) for margin in blended(learn(taken, seed)(rest)).tolist()]))
    return float((rated[0] - rated[1]).std() / 6**0.5)


def train(
    rows: Sequence[OutcomeRow],
    out: Path,
    *,
    sources: Sequence[str],
    reference: Sequence[str] | None = None,
    prior: artifact.Artifact | None = None,
) -> str:
    """Fit and write an artifact with its card. Returns the hash. Raises OutcomeError, OSError.

    `reference` are the texts that the student was distilled on, for novelty; None: the rows' own. See `fit` for
    the `prior`.
    """
    fitted = fit(rows, prior=prior.difficulty if prior is not None else None)
    known = fitted.reference if reference is None else fit_novelty([extract(text) for text in reference])
    arrays = {**fitted.tables(), **known.tables}
    student, teacher = scores(rows)
    categories: dict[str, int] = {}
    for row in rows:
        name = row.category or "none"
        categories[name] = categories.get(name, 0) + 1
    metadata = {
        **fitted.numbers(),
        "rows": len(rows),
        "reference": len(rows) if reference is None else len(reference),
        "sources": list(sources),
        "categories": dict(sorted(categories.items(), key=lambda item: (-item[1], item[0]))[:50]),
        "student_mean": round(float(student.mean()), 6),
        "teacher_mean": round(float(teacher.mean()), 6),
        "student_worse": float((student < teacher).mean()),
        "novel_worse": fitted.base,
        "noise": fitted.noise,
        "prior": prior.hash if prior is not None else None,
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return artifact.write(out, arrays, metadata, _card(metadata))


def _idf(features: Sequence[Features]) -> NDArray[np.float64]:
    """Smoothed inverse document frequency of each place: ln((1 + n) / (1 + df)) + 1."""
    count = np.zeros(PLACES)
    for item in features:
        count[item.places] += 1
    idf: NDArray[np.float64] = np.log((1 + len(features)) / (1 + count)) + 1
    return idf


def _matrix(features: Sequence[Features], idf: NDArray[np.float64]) -> csr_matrix:
    """(n, PLACES): each of the two families of n-grams has length one."""
    places, values, rows = [], [], []
    for number, item in enumerate(features):
        for family in (item.places[: item.words], item.places[item.words :]):
            weight = idf[family]
            places.append(family)
            values.append(weight / max(1e-9, float(np.sqrt(weight @ weight))))
            rows.append(np.full(len(family), number))
    where = (np.concatenate(rows), np.concatenate(places).astype(np.int64))
    return csr_matrix((np.concatenate(values), where), shape=(len(features), PLACES))


def _card(metadata: dict[str, Any]) -> str:
    sources = "\n".join(f"  - {name}" for name in metadata["sources"])
    prior = f"- It started from the artifact {metadata['prior']}.\n" if metadata["prior"] else ""
    return f"""# Router artifact {{hash}}

Estimates the probability that the student's answer to a prompt is worse than the teacher's.

- Trained {metadata["created"]} on {metadata["rows"]} outcome rows; on {metadata["student_worse"]:.1%} of them the
  student was worse (mean score: student {metadata["student_mean"]:.3f}, teacher {metadata["teacher_mean"]:.3f}).
- Sources:
{sources}
{prior}- It holds for prompts like these and for this student. On other traffic its probabilities may be wrong.
- How good it is: `breakeven evaluate` on rows that it was not trained on.
"""
