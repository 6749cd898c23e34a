"""Training the difficulty classifier with scikit-learn, calibrated on rows that it was not trained on.

The label is the gap between teacher and student, never "the student fails": where the teacher fails too,
nothing is gained by asking it. Two linear models read the same features. Logistic regression on "the
student is worse" ranks probabilities well; ridge regression on the size of the gap knows that a teacher may
also be the worse one. Their standardised sum is one set of weights, and Platt's logistic calibration on
out-of-fold sums makes it a probability.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold

from router import artifact
from router.difficulty import NUMBERS, SCALE, Difficulty
from router.features import PLACES, Features, extract
from router.outcomes import OutcomeError, OutcomeRow, scores, texts
from router.reference import fit_novelty

_FOLDS = 5
_MIN_ROWS = 40
_C = 0.5
_ALPHA = 12.0
# The shape measures beside the n-grams: standardised, then scaled so that regularisation holds them back.
_SHAPE_SCALE = 0.1
_SEED = 20261125


class Fit(NamedTuple):
    """A fitted pipeline. `weights` (PLACES,) and `shape` (len(SHAPE),) on features before standardisation,
    `mean` (len(SHAPE),) what the shape measures are on average.
    """

    idf: NDArray[np.float64]
    weights: NDArray[np.float64]
    shape: NDArray[np.float64]
    mean: NDArray[np.float64]
    bias: float
    slope: float
    intercept: float
    features: Sequence[Features]

    def tables(self) -> dict[str, NDArray[Any]]:
        """The arrays of an artifact, in fixed point."""
        weighted = np.rint(self.idf * self.weights * SCALE)
        if np.abs(weighted).max() >= 2**31:
            raise OutcomeError("a weight is too large to store; are there enough rows?")
        squared = np.rint(self.idf**2 * 65536.0)
        tables = {"weighted": weighted.astype(np.int32), "squared": squared.astype(np.int32)}
        return {**tables, "shape": self.shape, "mean": self.mean}

    def difficulty(self) -> Difficulty:
        """The same, at serving speed."""
        numbers = (self.bias, self.slope, self.intercept)
        return Difficulty(self.tables(), dict(zip(NUMBERS, numbers, strict=True)))


def fit(rows: Sequence[OutcomeRow], seed: int = _SEED) -> Fit:
    """Train and calibrate. Raises OutcomeError where the rows cannot teach anything."""
    student, teacher = scores(rows)
    gap = teacher - student
    worse = gap > 0
    fewest = int(min(worse.sum(), (~worse).sum()))
    if len(rows) < _MIN_ROWS or fewest < 2:
        raise OutcomeError(
            f"{len(rows)} rows, on {int(worse.sum())} of which the student is worse: at least {_MIN_ROWS} rows are "
            "needed, with some of either kind; add outcome rows"
        )
    features = [extract(text) for text in texts(rows)]
    idf = _idf(features)
    matrix = _matrix(features, idf)
    # A place that no row has would only cost time: its weight is zero.
    used = np.flatnonzero(np.asarray(matrix.sum(axis=0)).ravel())
    shape = np.array([item.shape for item in features])
    mean, deviation = shape.mean(axis=0), shape.std(axis=0)
    factor = _SHAPE_SCALE / np.where(deviation > 1e-9, deviation, np.inf)
    design = hstack([matrix[:, used], csr_matrix((shape - mean) * factor)]).tocsr()

    held_out = np.zeros((2, len(rows)))
    folds = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=seed)
    for train, test in folds.split(design, worse):
        for index, (weights, bias) in enumerate(_fit_both(design[train], worse[train], gap[train])):
            held_out[index, test] = design[test] @ weights + bias
    spread = np.maximum(held_out.std(axis=1), 1e-9)
    # Without regularisation: two parameters, fitted on sums that no model was trained on.
    platt = LogisticRegression(C=np.inf).fit((held_out / spread[:, None]).sum(axis=0)[:, None], worse)

    both = _fit_both(design, worse, gap)
    weights = sum((w / s for (w, _), s in zip(both, spread, strict=True)), np.zeros(design.shape[1]))
    bias = sum(b / s for (_, b), s in zip(both, spread, strict=True))
    grams = np.zeros(PLACES)
    grams[used] = weights[: len(used)]
    return Fit(
        idf,
        grams,
        weights[len(used) :] * factor,
        mean,
        float(bias),
        float(platt.coef_[0, 0]),
        float(platt.intercept_[0]),
        features,
    )


def train(
    rows: Sequence[OutcomeRow],
    out: Path,
    *,
    sources: Sequence[str],
    reference: Sequence[str] | None = None,
    card: str | None = None,
) -> str:
    """Fit and write an artifact with its card. Returns the hash. Raises OutcomeError, OSError.

    `reference` are the texts that the student was distilled on, for novelty; None: the rows' own.
    """
    fitted = fit(rows)
    known = fitted.features if reference is None else [extract(text) for text in reference]
    arrays = {**fitted.tables(), **fit_novelty(known)}
    student, teacher = scores(rows)
    categories: dict[str, int] = {}
    for row in rows:
        name = row.category or "none"
        categories[name] = categories.get(name, 0) + 1
    metadata = {
        "bias": fitted.bias,
        "slope": fitted.slope,
        "intercept": fitted.intercept,
        "rows": len(rows),
        "reference": len(known),
        "sources": list(sources),
        "categories": dict(sorted(categories.items(), key=lambda item: (-item[1], item[0]))[:50]),
        "student_mean": round(float(student.mean()), 6),
        "teacher_mean": round(float(teacher.mean()), 6),
        "student_worse": round(float((student < teacher).mean()), 6),
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return artifact.write(out, arrays, metadata, card or _card(metadata))


def _fit_both(
    design: csr_matrix, worse: NDArray[np.bool_], gap: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], float]]:
    logistic = LogisticRegression(C=_C, max_iter=500).fit(design, worse)
    ridge = Ridge(alpha=_ALPHA, solver="sparse_cg", tol=1e-3).fit(design, gap)
    return [(logistic.coef_[0], float(logistic.intercept_[0])), (ridge.coef_, float(ridge.intercept_))]


def _idf(features: Sequence[Features]) -> NDArray[np.float64]:
    """Smoothed inverse document frequency of each place: ln((1 + n) / (1 + df)) + 1."""
    count = np.zeros(PLACES)
    for item in features:
        # One place may hold a word and a run; it is then seen once.
        count[np.union1d(item.words, item.runs)] += 1
    idf: NDArray[np.float64] = np.log((1 + len(features)) / (1 + count)) + 1
    return idf


def _matrix(features: Sequence[Features], idf: NDArray[np.float64]) -> csr_matrix:
    """(n, PLACES): each of the two families of n-grams has length one."""
    places, values, rows = [], [], []
    for number, item in enumerate(features):
        for family in (item.words, item.runs):
            weight = idf[family]
            places.append(family)
            values.append(weight / max(1e-9, float(np.sqrt(weight @ weight))))
            rows.append(np.full(len(family), number))
    where = (np.concatenate(rows), np.concatenate(places).astype(np.int64))
    return csr_matrix((np.concatenate(values), where), shape=(len(features), PLACES))


def _card(metadata: dict[str, Any]) -> str:
    sources = "\n".join(f"- {name}" for name in metadata["sources"])
    return f"""# Router artifact {{hash}}

Estimates the probability that the student's answer to a prompt is worse than the teacher's.

- Trained {metadata["created"]} on {metadata["rows"]} outcome rows; on {metadata["student_worse"]:.1%} of them the
  student was worse (mean score: student {metadata["student_mean"]:.3f}, teacher {metadata["teacher_mean"]:.3f}).
- Sources:
{sources}
- It holds for prompts like these and for this student. On other traffic its probabilities may be wrong.
- How good it is: `breakeven evaluate` on rows that it was not trained on.
"""
