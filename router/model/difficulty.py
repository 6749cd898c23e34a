"""The trained classifier at serving speed: sums over the n-grams of a text, without scikit-learn.

Each head's margin, the log-odds that this model's answer fails:

margin = bias + (shape - mean) . w + forest(shape) + votes(words)
         + sum over both families of n-grams of (sum of idf * w) / sqrt(sum of idf ** 2)
score  = calibration(worth(student's margin, teacher's margin))

The tables hold whole numbers (fixed point), whose sum does not depend on the order of addition: the same
text has the same score on every platform, in every thread and worker.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features import kernel
from breakeven.router.features.extract import SHAPE, UNIT, Features, extract, normalise
from breakeven.router.features.kernel_numpy import PLACES, RUN, run_places, word_places, word_spans
from breakeven.router.model import forest
from breakeven.router.model import neighbours as votes
from breakeven.router.model.calibration import Calibration
from breakeven.router.model.heads import HEADS, Margins, slopes, worth
from breakeven.router.model.tables import Shapes

# Fixed point: 2**-22 is far below what a weight can be estimated to, and 25,000 n-grams stay within int64.
SCALE = float(1 << 22)
_SHAPE_SCALE = float(1 << 24)

ARRAYS: Shapes = {
    "weighted": ((PLACES, HEADS), "int32"),
    "squared": ((PLACES,), "int32"),
    "shape": ((HEADS, len(SHAPE)), "float64"),
    "mean": ((len(SHAPE),), "float64"),
    **forest.ARRAYS,
    **votes.ARRAYS,
}
BIASES = ("student_bias", "teacher_bias")
NUMBERS = (*BIASES, *Calibration._fields)


class Push(NamedTuple):
    """One feature's share in the log-odds of a score: positive pushes to the teacher."""

    feature: str
    push: float


class Weights(NamedTuple):
    """What the margins are made of, by head: `grams` (HEADS, PLACES), `shape` (HEADS, len(SHAPE)) and `bias` (HEADS,);
    `mean` (len(SHAPE),) of the measures.
    """

    grams: NDArray[np.float64]
    shape: NDArray[np.float64]
    mean: NDArray[np.float64]
    bias: NDArray[np.float64]


class Difficulty:
    """Estimated probability, calibrated, that the student's answer is worse than the teacher's."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, float]) -> None:
        """What ARRAYS and NUMBERS name.

        `weighted` (idf * weight of each head) and `squared` (idf ** 2) by place, in units of 1 / SCALE and 1 / 2**16;
        `shape` and `mean`: the weights of the SHAPE measures and what they are on average.
        """
        # All numbers of a place side by side, so that it is one access to memory.
        self._table = np.ascontiguousarray(np.column_stack([arrays["weighted"], arrays["squared"]]))
        self._shape, self._mean = arrays["shape"], arrays["mean"]
        self._whole_shape = np.rint(arrays["shape"] * _SHAPE_SCALE).astype(np.int64)
        self.forest = forest.Forest(arrays)
        self._space = votes.Space(arrays)
        self._votes = votes.Votes(arrays["votes_points"], arrays["votes_opinions"])
        self._bias = Margins(*(float(numbers[name]) for name in BIASES))
        self.calibrate = Calibration(*(float(numbers[name]) for name in Calibration._fields))
        if not self.calibrate.spread > 0.0:
            raise ValueError("the spread of the margins is not above zero")
        starts = zip(self._bias, self._shape.tolist(), strict=True)
        mean = self._mean.tolist()
        self._start = Margins(
            *(bias - math.fsum(w * m for w, m in zip(own, mean, strict=True)) for bias, own in starts)
        )

    @property
    def idf(self) -> NDArray[np.float64]:
        """Inverse document frequency by place."""
        idf: NDArray[np.float64] = np.sqrt(self._table[:, HEADS] / 65536.0)
        return idf

    @property
    def weights(self) -> Weights:
        """The fitted weights."""
        grams = self._table[:, :HEADS].T / SCALE / np.maximum(self.idf, 1e-9)
        return Weights(grams, self._shape, self._mean, np.array(self._bias))

    def score(self, text: str) -> float:
        """In [0, 1]. Never raises for a string."""
        return self.calibrate(self.margin(extract(text)))

    def margin(self, features: Features) -> float:
        """What asking the teacher is worth, uncalibrated."""
        return worth(self.heads(features))

    def heads(self, features: Features) -> Margins:
        """Estimated log-odds that the student's answer fails, and that the teacher's does."""
        sums, said = self.sums(features), self.votes(features)
        return Margins(sums.student + said.student, sums.teacher + said.teacher)

    def votes(self, features: Features) -> Margins:
        """What the training prompts around this one say."""
        return self._votes(self._space.of(features))

    def sums(self, features: Features) -> Margins:
        """The margins without the votes: what a router that learns from this one can take over."""
        found = kernel.weigh(features.places, features.words, self._table)
        trees, shape = self.forest(features.shape), (self._whole_shape @ features.shape).tolist()
        words, runs = _norm(found[HEADS]), _norm(found[-1])
        return Margins(
            *(
                start + measures / (UNIT * _SHAPE_SCALE) + together + of_words / words + of_runs / runs
                for start, measures, together, of_words, of_runs in zip(
                    self._start, shape, trees, found[:HEADS], found[HEADS + 1 : -1], strict=True
                )
            )
        )

    def explain(self, text: str, count: int = 8) -> list[Push]:
        """The features that pushed the score most, strongest first: what each adds to both heads, times how steep the
        log-odds of the score are there.
        """
        features = extract(text)
        shares: dict[str, Sequence[float]] = {}
        shares.update(zip(SHAPE, (self._shape * (features.shape / UNIT - self._mean)).T.tolist(), strict=True))
        plain = normalise(text)
        found = [plain[start:end] for start, end in zip(*word_spans(plain), strict=True)]
        names = [f"word {_shown(word)!r}" for word in found]
        names += [f"words {_shown(one + b' ' + other)!r}" for one, other in itertools.pairwise(found)]
        data = b" %b " % plain
        letters = [f"letters {_shown(data[index : index + RUN])!r}" for index in range(len(data) - RUN + 1)]
        sums = kernel.weigh(features.places, features.words, self._table)
        for labels, places, squared in (
            (names, word_places(plain), sums[HEADS]),
            (letters, run_places(plain), sums[-1]),
        ):
            shares.update(zip(labels, (self._table[places, :HEADS] / _norm(squared)).tolist(), strict=True))
        shares["measures together"] = self.forest(features.shape)
        shares["prompts like it"] = self.votes(features)
        heads = self.heads(features)
        steep, (student, teacher) = self.calibrate.steepness(worth(heads)), slopes(heads)
        pushes = [Push(name, steep * (student * own + teacher * other)) for name, (own, other) in shares.items()]
        return sorted(pushes, key=lambda push: (-abs(push.push), push.feature))[:count]


def _norm(squared: int) -> float:
    """What a family's sum of weights in 1 / SCALE is divided by: the length of its idf, and SCALE."""
    return SCALE * math.sqrt(max(1.0, squared) / 65536.0)


def _shown(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")
