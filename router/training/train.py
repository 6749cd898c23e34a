"""Training the classifier with scikit-learn, and calibrating it on out-of-fold predictions.

It ranks prompts by the expected gain of asking the teacher, not by the student's failure alone: where the teacher fails
too, asking it gains nothing. There are two heads, one for each model's answer, with the same three parts: logistic
regression over n-grams and shape measures, a small forest over the shape measures, and kernel-weighted kNN over the
training prompts. `heads.gain` combines both heads into one number, and a calibration of out-of-fold gains turns that
into the probability that the student's answer is worse.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.evaluation.evaluate import auroc
from breakeven.router.features.extract import extract
from breakeven.router.model import artifact, forest, neighbours
from breakeven.router.model.calibration import Calibration
from breakeven.router.model.difficulty import BIASES, SCALE, Difficulty
from breakeven.router.model.heads import HEADS
from breakeven.router.model.tables import Tables
from breakeven.router.outcomes import OutcomeError, OutcomeRow, scores, texts
from breakeven.router.progress import Progress, counted, quiet
from breakeven.router.training.design import Design, idf_of
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
from breakeven.router.training.prior import Prior

_MIN_ROWS = 40
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

    Of each row, in the order given: `gains` (n,), the expected gain of asking the teacher by models that were not
    fitted to it nor to its near duplicates, before calibration; `folds` (n,), the number of the fold it was held out
    in. Gains of two folds are those of two models.
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
    gains: NDArray[np.float64]
    folds: NDArray[np.int64]

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

    def held_out_auroc(self, worse: NDArray[np.bool_]) -> float | None:
        """How well the gains of held-out rows rank those on which the student is worse, (n,) in the order of the rows:
        the mean over the folds, whose models differ; None where no fold has rows of both kinds.
        """
        folds = [self.folds == number for number in np.unique(self.folds)]
        found = [(auroc(self.gains[own], worse[own]), int(own.sum())) for own in folds]
        known = [(value, count) for value, count in found if not np.isnan(value)]
        return sum(value * count for value, count in known) / sum(count for _, count in known) if known else None

    def numbers(self) -> dict[str, float]:
        """The numbers of an artifact that `difficulty.NUMBERS` names."""
        return {**dict(zip(BIASES, self.bias.tolist(), strict=True)), **self.calibration._asdict()}


def fit(
    rows: Sequence[OutcomeRow], seed: int = _SEED, prior: Difficulty | None = None, progress: Progress = quiet
) -> Fit:
    """Train and calibrate a router. The same rows give the same result, in whatever order.

    With a `prior`, such as the shipped artifact's classifier, its log-odds are one more feature of each head, whose
    weight is learned: a few hundred rows are then enough. Raises OutcomeError where the rows are too few or all alike.
    """
    # Folds and trees are drawn by row number.
    given = sorted(range(len(rows)), key=lambda number: rows[number].id)
    rows, place = [rows[number] for number in given], np.argsort(given)
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
    idf = idf_of(features) if prior is None else prior.idf
    design, known = Design(features, idf), Prior(prior, features)
    space = fit_space(features, idf, seed)
    points = neighbours.LatentSpace(space).points(features)
    data = Rows(design.columns, known.columns, np.array([item.shape for item in features]), points, errors)

    held_out, folds = np.zeros((HEADS, PARTS, len(rows))), np.zeros(len(rows), dtype=np.int64)
    splits = grouped_folds(features, worse, seed)
    # Models are fitted for each fold, then for all rows, and for the error of both.
    steps = len(splits) + 2
    for number, (train, test) in enumerate(counted(splits, steps, progress)):
        held_out[..., test] = fit_models(data.subset(train), seed)(data.subset(test))
        folds[test] = number
    stack = fit_stack(held_out, errors)
    gains = stack(held_out)
    calibration = fit_calibration(gains, worse)

    models = fit_models(data, seed)
    progress(steps - 1, steps)
    linear, of_trees, of_knn = stack.weights.T
    weights = linear[:, None] * np.array([weights for weights, _ in models.linear])
    bias = stack.biases + linear * np.array([bias for _, bias in models.linear])
    grams, own = design.unfold(weights[:, :-1])
    trees = forest.from_trees([tree.tree_ for tree in models.forest.estimators_], of_trees)
    grams, own, bias, trees = known.fold_in(weights[:, -1], grams, own, bias, trees, design.mean)
    neighbour_points, labels = models.knn
    knn = {**space, "votes_points": neighbour_points, "votes_opinions": neighbours.to_fixed_point(of_knn * labels)}
    noise = _standard_error(data, stack, calibration, seed)
    progress(steps, steps)
    novel = worse[reference.most_novel(_NOVEL_SHARE)]
    base = float((novel.sum() + _PSEUDO_ROWS * worse.mean()) / (len(novel) + _PSEUDO_ROWS))
    tables = (idf, grams, own, design.mean, bias, trees, knn)
    return Fit(*tables, calibration, base, noise, reference, gains[place], folds[place])


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
    progress: Progress = quiet,
) -> str:
    """Train a router and write its artifact, with a model card, to the directory `out`. Returns its hash.

    `sources` are named in the card. `reference` are the texts that the student was distilled on, against which novelty
    is measured; None takes the rows' own texts. See `fit` for the `prior`. Raises OutcomeError, OSError.
    """
    fitted = fit(rows, prior=prior.difficulty if prior is not None else None, progress=progress)
    return save(fitted, rows, out, sources=sources, reference=reference, prior=prior)


def save(
    fitted: Fit,
    rows: Sequence[OutcomeRow],
    out: Path,
    *,
    sources: Sequence[str],
    reference: Sequence[str] | None = None,
    prior: artifact.Artifact | None = None,
) -> str:
    """Write a router that was fitted to these rows and this prior as `train` does, and return its hash.

    Raises OutcomeError, OSError.
    """
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
        artifact.STUDENT: _student(rows),
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return artifact.write(out, arrays, metadata, _card(metadata))


def _student(rows: Sequence[OutcomeRow]) -> str | None:
    """The name of the student that answered the rows; None where they do not say. Raises OutcomeError for several."""
    named = Counter(str(name) for row in rows if (name := row.record.get("student_model")) is not None)
    if len(named) > 1:
        found = ", ".join(f"{name} ({count} rows)" for name, count in named.most_common(4))
        raise OutcomeError(f"the outcome rows are of different students: {found}; train a router for each")
    return next(iter(named), None)


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
