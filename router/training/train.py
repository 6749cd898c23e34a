"""Training the classifier with scikit-learn, and calibrating it on out-of-fold predictions.

It ranks prompts by the expected gain of asking the teacher, not by the student's failure alone: where the teacher fails
too, asking it gains nothing. There are two heads, one for each model's answer, with the same three parts: logistic
regression over n-grams and shape measures, a small forest over the shape measures, and kernel-weighted kNN over the
training prompts. `heads.gain` combines both heads into one number, and a calibration of out-of-fold gains turns that
into the probability that the student's answer is worse.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from breakeven.router.features.extract import SHAPE_UNIT, Features, extract
from breakeven.router.features.kernel_numpy import BUCKETS
from breakeven.router.model import artifact, forest, neighbours
from breakeven.router.model.calibration import Calibration
from breakeven.router.model.difficulty import BIASES, SCALE, Difficulty
from breakeven.router.model.heads import HEADS
from breakeven.router.model.tables import Tables
from breakeven.router.outcomes import OutcomeError, OutcomeRow, scores, texts
from breakeven.router.training.estimators import (
    PARTS,
    Rows,
    Stack,
    fit_calibration,
    fit_models,
    fit_stack,
    grouped_folds,
)
from breakeven.router.training.lsa import fit_space
from breakeven.router.training.novelty import Reference, fit_novelty
from breakeven.router.training.words import word_vectors

_MIN_ROWS = 40
# Scale of the standardised shape measures in the design: small, so that regularisation holds them back.
SHAPE_SCALE = 0.1
# Scale of the mean word vectors in the design, chosen on dev rows.
WORD_SCALE = 1.0
# Scale of the standardised prior in the design: large, so that regularisation hardly holds it back.
_PRIOR_SCALE = 3.0
# The base rate of novel texts is measured on this share of the rows, the most novel ones, and smoothed with this many
# pseudo-rows at the rate of all rows.
_NOVEL_SHARE, _PSEUDO_ROWS = 0.1, 50
_SEED = 20261125


class Fit(NamedTuple):
    """A fitted router. `idf` (BUCKETS,); `weights` (HEADS, BUCKETS) of the n-grams and `shape` (HEADS, len(SHAPE)) of
    the shape measures before standardisation, whose means are `mean` (len(SHAPE),); `bias` (HEADS,); `trees` and `knn`,
    the arrays of the forest and of the kNN part with its latent space.

    `base`: how often the student is worse on rows that are novel compared with the others; `noise`: the standard error
    of a score over samples of the rows; `reference`: the rows as reference set of the novelty.
    """

    idf: NDArray[np.float64]
    weights: NDArray[np.float64]
    shape: NDArray[np.float64]
    mean: NDArray[np.float64]
    bias: NDArray[np.float64]
    trees: Tables
    knn: Tables
    calibration: Calibration
    base: float
    noise: float
    reference: Reference

    def tables(self) -> dict[str, NDArray[Any]]:
        """The arrays of an artifact that `difficulty.ARRAYS` names, in fixed point.

        Raises OutcomeError where a weight is too large for them.
        """
        weighted = np.rint((self.idf * self.weights).T * SCALE, order="C")
        if np.abs(weighted).max() >= 2**31:
            raise OutcomeError("a weight is too large to store; are there enough rows?")
        squared = np.rint(self.idf**2 * 65536.0)
        tables = {"weighted": weighted.astype(np.int32), "squared": squared.astype(np.int32)}
        return {**tables, "shape": self.shape, "mean": self.mean, "ranks": np.zeros(0), **self.trees, **self.knn}

    def difficulty(self) -> Difficulty:
        """The fitted classifier in the form that serves requests."""
        return Difficulty(self.tables(), self.numbers())

    def numbers(self) -> dict[str, float]:
        """The numbers of an artifact that `difficulty.NUMBERS` names."""
        return {**dict(zip(BIASES, self.bias.tolist(), strict=True)), **self.calibration._asdict()}


def fit(rows: Sequence[OutcomeRow], seed: int = _SEED, prior: Difficulty | None = None) -> Fit:
    """Train and calibrate a router. The same rows give the same result, in whatever order.

    With a `prior`, such as the shipped artifact's classifier, its log-odds are one more feature of each head, whose
    weight is learned: a few hundred rows are then enough. Raises OutcomeError where the rows are too few or all alike.
    """
    # Folds and trees are drawn by row number.
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
    design, known = Design(features, idf), _Prior(prior, features)
    space = fit_space(features, idf, seed)
    points = neighbours.LatentSpace(space).points(features)
    data = Rows(design.columns, known.columns, np.array([item.shape for item in features]), points, errors)

    held_out = np.zeros((HEADS, PARTS, len(rows)))
    for train, test in grouped_folds(features, worse, seed):
        held_out[..., test] = fit_models(data.subset(train), seed)(data.subset(test))
    stack = fit_stack(held_out, errors)
    calibration = fit_calibration(stack(held_out), worse)

    models = fit_models(data, seed)
    linear, of_trees, of_knn = stack.weights.T
    weights = linear[:, None] * np.array([weights for weights, _ in models.linear])
    bias = stack.biases + linear * np.array([bias for _, bias in models.linear])
    grams, own = design.unfold(weights[:, :-1])
    trees = forest.from_trees([tree.tree_ for tree in models.forest.estimators_], of_trees)
    grams, own, bias, trees = known.fold_in(weights[:, -1], grams, own, bias, trees, design.mean)
    neighbour_points, labels = models.knn
    knn = {**space, "votes_points": neighbour_points, "votes_opinions": neighbours.to_fixed_point(of_knn * labels)}
    noise = _standard_error(data, stack, calibration, seed)
    novel = worse[reference.most_novel(_NOVEL_SHARE)]
    base = float((novel.sum() + _PSEUDO_ROWS * worse.mean()) / (len(novel) + _PSEUDO_ROWS))
    return Fit(idf, grams, own, design.mean, bias, trees, knn, calibration, base, noise, reference)


class Design:
    """The input of the linear models for n texts: `columns` (n, width) of n-grams, mean word vectors and shape
    measures, whose means are `mean` (len(SHAPE),). The word vectors have the scale `word_scale`.
    """

    def __init__(self, features: Sequence[Features], idf: NDArray[np.float64], word_scale: float = WORD_SCALE) -> None:
        self._word_scale = word_scale
        matrix = _matrix(features, idf)
        # Buckets that no row has get a weight of zero, and are left out of the regression.
        self._used = np.flatnonzero(np.asarray(matrix.sum(axis=0)).ravel())
        shape = np.array([item.shape for item in features]) / SHAPE_UNIT
        self.mean, deviation = shape.mean(axis=0), shape.std(axis=0)
        self._factor = SHAPE_SCALE / np.where(deviation > 1e-9, deviation, np.inf)
        means = word_vectors().means(matrix) * word_scale
        measures = csr_matrix((shape - self.mean) * self._factor)
        self.columns = hstack([matrix[:, self._used], csr_matrix(means), measures]).tocsr()

    def unfold(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weights of the n-grams (heads, BUCKETS), those of the word vectors among them, and of the shape measures
        (heads, len(SHAPE)), from the weights of the columns.
        """
        of_grams, of_words, of_shape = np.split(weights, [len(self._used), -len(self._factor)], axis=1)
        grams = word_vectors().unfold(of_words * self._word_scale)
        grams[:, self._used] += of_grams
        return grams, of_shape * self._factor


class _Prior:
    """Another classifier as prior: its log-odds are columns of the design, one for each head, and its weights are
    folded into the result. Its kNN table is not used: it is of other traffic, and would take time at each decision.
    Of a prior that only ranks by difficulty, the one head that it has is a column for both heads.
    """

    def __init__(self, prior: Difficulty | None, features: Sequence[Features]) -> None:
        self._prior = prior
        self._source = [0, 0] if prior is not None and prior.ranks else [0, 1]
        logits = np.zeros((len(features), HEADS))
        if prior is not None:
            logits = np.array([prior.logits_without_neighbours(item) for item in features])[:, self._source]
        self._mean, deviation = logits.mean(axis=0), logits.std(axis=0)
        self._scale = _PRIOR_SCALE / np.where(deviation > 1e-9, deviation, np.inf)
        self.columns = (logits - self._mean) * self._scale

    def fold_in(
        self,
        weight: NDArray[np.float64],
        grams: NDArray[np.float64],
        shape: NDArray[np.float64],
        bias: NDArray[np.float64],
        trees: Tables,
        mean: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], Tables]:
        """Adds the prior, multiplied by the `weight` (HEADS,) of its columns, to the weights, bias and trees of the new
        one.
        """
        if self._prior is None:
            return grams, shape, bias, trees
        weight = weight * self._scale
        of, source = self._prior.weights, self._source
        # The prior's shape measures are centred on its own means.
        bias = bias + weight * (of.bias[source] - self._mean + of.shape[source] @ (mean - of.mean))
        more = self._prior.forest.scaled_tables(weight, source)
        grams, shape = grams + weight[:, None] * of.grams[source], shape + weight[:, None] * of.shape[source]
        return grams, shape, bias, forest.concatenate(trees, more)


def _standard_error(rows: Rows, stack: Stack, calibration: Calibration, seed: int) -> float:
    """The standard error of a score over samples of the rows.

    Two models, each trained on a third of the rows, are compared on the last third: the variance of their difference is
    2 * 3 times that of a model trained on all rows.
    """
    third = np.random.default_rng(seed).integers(0, 3, len(rows.errors))
    rest = rows.subset(third == 2)
    rated = []
    for part in (0, 1):
        taken = rows.subset(third == part)
        if len(np.unique(taken.worse)) < 2 or not len(rest.errors):
            return 0.0
        rated.append(np.array([calibration(gain) for gain in stack(fit_models(taken, seed)(rest)).tolist()]))
    return float((rated[0] - rated[1]).std() / 6**0.5)


def train(
    rows: Sequence[OutcomeRow],
    out: Path,
    *,
    sources: Sequence[str],
    reference: Sequence[str] | None = None,
    prior: artifact.Artifact | None = None,
) -> str:
    """Train a router and write its artifact, with a model card, to the directory `out`. Returns its hash.

    `sources` are named in the card. `reference` are the texts that the student was distilled on, against which novelty
    is measured; None takes the rows' own texts. See `fit` for the `prior`. Raises OutcomeError, OSError.
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
    """The smoothed inverse document frequency of each bucket, (BUCKETS,): ln((1 + n) / (1 + df)) + 1."""
    count = np.zeros(BUCKETS)
    for item in features:
        count[item.buckets] += 1
    idf: NDArray[np.float64] = np.log((1 + len(features)) / (1 + count)) + 1
    return idf


def _matrix(features: Sequence[Features], idf: NDArray[np.float64]) -> csr_matrix:
    """The n-gram columns of the design, (n, BUCKETS): idf weights, normalised to length one for word and byte n-grams
    each.
    """
    buckets, values, rows = [], [], []
    for number, item in enumerate(features):
        for family in (item.buckets[: item.word_end], item.buckets[item.word_end :]):
            weight = idf[family]
            buckets.append(family)
            values.append(weight / max(1e-9, float(np.sqrt(weight @ weight))))
            rows.append(np.full(len(family), number))
    where = (np.concatenate(rows), np.concatenate(buckets).astype(np.int64))
    return csr_matrix((np.concatenate(values), where), shape=(len(features), BUCKETS))


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
