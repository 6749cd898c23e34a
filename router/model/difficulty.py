"""The trained classifier at serving time: sums over the features of a text, without scikit-learn.

Each head's log-odds that its model's answer fails:

logit = bias + (shape - mean) . w + forest(shape) + kNN(words)
        + sum over word n-grams and byte n-grams, each, of (sum of idf * w) / sqrt(sum of idf ** 2)
score = calibration(gain(student's logit, teacher's logit))

An artifact that was not trained on outcomes, such as the one that ships, has one head, of expected difficulty, and its
score is the rank of the prompt among reference prompts instead of a probability.

The tables hold whole numbers (fixed point), whose sum does not depend on the order of addition: the same text has the
same score on every platform, in every thread and worker.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features import kernel
from breakeven.router.features.extract import SHAPE, SHAPE_UNIT, Features, extract, normalise
from breakeven.router.features.kernel_numpy import BUCKETS, BYTE_NGRAM, byte_ngram_buckets, word_buckets, word_spans
from breakeven.router.model import forest, neighbours
from breakeven.router.model.calibration import Calibration
from breakeven.router.model.heads import HEADS, Logits, gain, gain_gradient
from breakeven.router.model.rank import Rank
from breakeven.router.model.tables import Shapes

# Fixed point: 2**-22 is far below the precision of an estimated weight, and 25,000 n-grams stay within int64.
SCALE = float(1 << 22)
_SHAPE_SCALE = float(1 << 24)

# The names are part of the artifact's format.
ARRAYS: Shapes = {
    "weighted": ((BUCKETS, HEADS), "int32"),
    "squared": ((BUCKETS,), "int32"),
    "shape": ((HEADS, len(SHAPE)), "float64"),
    "mean": ((len(SHAPE),), "float64"),
    "ranks": ((None,), "float64"),
    **forest.ARRAYS,
    **neighbours.ARRAYS,
}
BIASES = ("student_bias", "teacher_bias")
NUMBERS = (*BIASES, *Calibration._fields)


class Contribution(NamedTuple):
    """What one feature of a text adds to the log-odds of its score: positive towards the teacher.

    The field names are keys in the JSON of the admin API.
    """

    feature: str
    push: float


class Weights(NamedTuple):
    """The linear weights of both heads: `grams` (HEADS, BUCKETS) of the n-grams, `shape` (HEADS, len(SHAPE)) of the
    shape measures around their `mean` (len(SHAPE),), and `bias` (HEADS,).
    """

    grams: NDArray[np.float64]
    shape: NDArray[np.float64]
    mean: NDArray[np.float64]
    bias: NDArray[np.float64]


class Difficulty:
    """The calibrated probability that the student's answer is worse than the teacher's, or with `ranks` the share of
    reference prompts that are easier.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, float]) -> None:
        """`arrays` and `numbers` hold what ARRAYS and NUMBERS name.

        `weighted` (idf * weight of each head) and `squared` (idf ** 2) are by bucket, in units of 1 / SCALE and
        1 / 2**16; `shape` and `mean` are the weights of the shape measures and their means; `ranks` are the sorted
        outputs for reference prompts, empty where the score is a probability. Raises ValueError where the arrays do not
        fit each other or `spread` is not positive.
        """
        # All numbers of a bucket are adjacent, so that a look-up is one access to memory.
        self._table = np.ascontiguousarray(np.column_stack([arrays["weighted"], arrays["squared"]]))
        self._shape, self._mean = arrays["shape"], arrays["mean"]
        self._whole_shape = np.rint(arrays["shape"] * _SHAPE_SCALE).astype(np.int64)
        self.forest = forest.Forest(arrays)
        self._space = neighbours.LatentSpace(arrays)
        self._knn = neighbours.KernelKnn(arrays["votes_points"], arrays["votes_opinions"])
        self._bias = Logits(*(float(numbers[name]) for name in BIASES))
        calibration = Calibration(*(float(numbers[name]) for name in Calibration._fields))
        if not calibration.spread > 0.0:
            raise ValueError("the spread of the gains is not positive")
        self.ranks = bool(len(arrays["ranks"]))
        self.calibrate: Calibration | Rank = Rank(arrays["ranks"].tolist()) if self.ranks else calibration
        starts = zip(self._bias, self._shape.tolist(), strict=True)
        mean = self._mean.tolist()
        self._start = Logits(*(bias - math.fsum(w * m for w, m in zip(own, mean, strict=True)) for bias, own in starts))

    @property
    def idf(self) -> NDArray[np.float64]:
        """The inverse document frequency of each bucket, (BUCKETS,)."""
        idf: NDArray[np.float64] = np.sqrt(self._table[:, HEADS] / 65536.0)
        return idf

    @property
    def weights(self) -> Weights:
        """The linear weights of both heads, converted back from fixed point."""
        grams = self._table[:, :HEADS].T / SCALE / np.maximum(self.idf, 1e-9)
        return Weights(grams, self._shape, self._mean, np.array(self._bias))

    def score(self, text: str) -> float:
        """The score of a text in [0, 1]: a probability, or a rank (see `Difficulty`). Never raises for a string."""
        return self.calibrate(self.gain(extract(text)))

    def gain(self, features: Features) -> float:
        """The expected gain of asking the teacher, as uncalibrated log-odds (see `heads.gain`); the expected difficulty
        where the score is a rank.
        """
        logits = self.logits(features)
        return logits.student if self.ranks else gain(logits)

    def logits(self, features: Features) -> Logits:
        """The estimated log-odds that the student's answer fails, and that the teacher's does."""
        linear, near = self.logits_without_neighbours(features), self.neighbours(features)
        return Logits(linear.student + near.student, linear.teacher + near.teacher)

    def neighbours(self, features: Features) -> Logits:
        """The part of the log-odds that comes from similar training prompts."""
        return self._knn(self._space.point(features))

    def logits_without_neighbours(self, features: Features) -> Logits:
        """The log-odds without the kNN part: what a router that uses this one as prior takes over."""
        found = kernel.sum_weights(features.buckets, features.word_end, self._table)
        trees, shape = self.forest(features.shape), (self._whole_shape @ features.shape).tolist()
        words, bytes_ = _norm(found[HEADS]), _norm(found[-1])
        return Logits(
            *(
                start + measures / (SHAPE_UNIT * _SHAPE_SCALE) + tree + of_words / words + of_bytes / bytes_
                for start, measures, tree, of_words, of_bytes in zip(
                    self._start, shape, trees, found[:HEADS], found[HEADS + 1 : -1], strict=True
                )
            )
        )

    def explain(self, text: str, count: int = 8) -> list[Contribution]:
        """The `count` features of a text that contribute most to its score, the largest contribution first.

        A contribution is what the feature adds to the log-odds of both heads, multiplied by the derivative of the
        score's log-odds with respect to each: a first-order attribution.
        """
        features = extract(text)
        shares: dict[str, Sequence[float]] = {}
        shares.update(zip(SHAPE, (self._shape * (features.shape / SHAPE_UNIT - self._mean)).T.tolist(), strict=True))
        plain = normalise(text)
        found = [plain[start:end] for start, end in zip(*word_spans(plain), strict=True)]
        names = [f"word {_shown(word)!r}" for word in found]
        names += [f"words {_shown(one + b' ' + other)!r}" for one, other in itertools.pairwise(found)]
        data = b" %b " % plain
        ends = range(BYTE_NGRAM, len(data) + 1)
        letters = [f"letters {_shown(data[end - BYTE_NGRAM : end])!r}" for end in ends]
        sums = kernel.sum_weights(features.buckets, features.word_end, self._table)
        for labels, buckets, squared in (
            (names, word_buckets(plain), sums[HEADS]),
            (letters, byte_ngram_buckets(plain), sums[-1]),
        ):
            shares.update(zip(labels, (self._table[buckets, :HEADS] / _norm(squared)).tolist(), strict=True))
        shares["shape measures combined"] = self.forest(features.shape)
        shares["similar training prompts"] = self.neighbours(features)
        logits = self.logits(features)
        steep, student, teacher = 1.0, 1.0, 0.0
        if isinstance(self.calibrate, Calibration):
            steep, (student, teacher) = self.calibrate.derivative(gain(logits)), gain_gradient(logits)
        contributions = [Contribution(name, steep * (student * s + teacher * t)) for name, (s, t) in shares.items()]
        return sorted(contributions, key=lambda one: (-abs(one.push), one.feature))[:count]


def _norm(squared: int) -> float:
    """The divisor of a sum of weights in units of 1 / SCALE: the length of the idf vector, times SCALE."""
    return SCALE * math.sqrt(max(1.0, squared) / 65536.0)


def _shown(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")
