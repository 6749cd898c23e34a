"""The trained classifier at serving speed: one sum over the n-grams of a text, without scikit-learn.

margin = bias + (shape - mean) . w + forest(shape) + votes(words)
         + sum over both families of n-grams of (sum of idf * w) / sqrt(sum of idf ** 2)
score  = calibration(margin)

The tables hold whole numbers (fixed point), whose sum does not depend on the order of addition: the same
text has the same score on every platform, in every thread and worker.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router import forest, kernel, votes
from router.calibration import Calibration
from router.features import SHAPE, UNIT, Features, extract, normalise
from router.tables import Shapes
from router.vectors import PLACES, RUN, run_places, word_places, word_spans

# Fixed point: 2**-22 is far below what a weight can be estimated to, and 25,000 n-grams stay within int64.
SCALE = float(1 << 22)
_SHAPE_SCALE = float(1 << 24)

ARRAYS: Shapes = {
    "weighted": ((PLACES,), "int32"),
    "squared": ((PLACES,), "int32"),
    "shape": ((len(SHAPE),), "float64"),
    "mean": ((len(SHAPE),), "float64"),
    **forest.ARRAYS,
    **votes.ARRAYS,
}
NUMBERS = ("bias", *Calibration._fields)


class Push(NamedTuple):
    """One feature's share in a margin: positive pushes to the teacher."""

    feature: str
    push: float


class Weights(NamedTuple):
    """What the margin is made of: `grams` by place, `shape` and `mean` of the measures, and the bias."""

    grams: NDArray[np.float64]
    shape: NDArray[np.float64]
    mean: NDArray[np.float64]
    bias: float


class Difficulty:
    """Estimated probability, calibrated, that the student's answer is worse than the teacher's."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, float]) -> None:
        """What ARRAYS and NUMBERS name.

        `weighted` (idf * weight) and `squared` (idf ** 2) by place, in units of 1 / SCALE and 1 / 2**16;
        `shape` and `mean`: the weights of the SHAPE measures and what they are on average.
        """
        # Both numbers of a place side by side, so that it is one access to memory.
        self._table = np.stack([arrays["weighted"], arrays["squared"]], axis=1)
        self._shape, self._mean = arrays["shape"].tolist(), arrays["mean"].tolist()
        self._whole_shape = np.rint(arrays["shape"] * _SHAPE_SCALE).astype(np.int64)
        self.forest = forest.Forest(arrays)
        self._space = votes.Space(arrays)
        self._votes = votes.Votes(arrays["votes_points"], arrays["votes_opinions"])
        self._bias = float(numbers["bias"])
        self.calibrate = Calibration(*(float(numbers[name]) for name in Calibration._fields))
        if not self.calibrate.spread > 0.0:
            raise ValueError("the spread of the margins is not above zero")
        self._start = self._bias - math.fsum(w * m for w, m in zip(self._shape, self._mean, strict=True))

    @property
    def idf(self) -> NDArray[np.float64]:
        """Inverse document frequency by place."""
        idf: NDArray[np.float64] = np.sqrt(self._table[:, 1] / 65536.0)
        return idf

    @property
    def weights(self) -> Weights:
        """The fitted weights."""
        grams = self._table[:, 0] / SCALE / np.maximum(self.idf, 1e-9)
        return Weights(grams, np.array(self._shape), np.array(self._mean), self._bias)

    def score(self, text: str) -> float:
        """In [0, 1]. Never raises for a string."""
        return self.calibrate(self.margin(extract(text)))

    def margin(self, features: Features) -> float:
        """The uncalibrated sum."""
        return self.sums(features) + self.votes(features)

    def votes(self, features: Features) -> float:
        """What the training prompts around this one say."""
        return self._votes(self._space.of(features))

    def sums(self, features: Features) -> float:
        """The margin without the votes: what a router that learns from this one can take over."""
        shape = int(self._whole_shape @ features.shape) / (UNIT * _SHAPE_SCALE)
        words, words_squared, runs, runs_squared = kernel.weigh(features.places, features.words, self._table)
        grams = _family(words, words_squared) + _family(runs, runs_squared)
        return self._start + shape + self.forest(features.shape) + grams

    def explain(self, text: str, count: int = 8) -> list[Push]:
        """The features that pushed the score most, strongest first."""
        features = extract(text)
        pushes: dict[str, float] = {}
        pushes.update(zip(SHAPE, self._of_shape(features.shape), strict=True))
        plain = normalise(text)
        found = [plain[start:end] for start, end in zip(*word_spans(plain), strict=True)]
        names = [f"word {_shown(word)!r}" for word in found]
        names += [f"words {_shown(one + b' ' + other)!r}" for one, other in itertools.pairwise(found)]
        data = b" %b " % plain
        letters = [f"letters {_shown(data[index : index + RUN])!r}" for index in range(len(data) - RUN + 1)]
        _, words_squared, _, runs_squared = kernel.weigh(features.places, features.words, self._table)
        for labels, places, squared in (
            (names, word_places(plain), words_squared),
            (letters, run_places(plain), runs_squared),
        ):
            weighted = self._table[places, 0].tolist()
            norm = math.sqrt(max(1, squared) / 65536.0)
            pushes.update((label, value / SCALE / norm) for label, value in zip(labels, weighted, strict=True))
        pushes["measures together"] = self.forest(features.shape)
        pushes["prompts like it"] = self.votes(features)
        ranked = sorted(pushes.items(), key=lambda item: (-abs(item[1]), item[0]))
        return [Push(name, push) for name, push in ranked[:count]]

    def _of_shape(self, shape: NDArray[np.int64]) -> list[float]:
        return [w * (x / UNIT - m) for w, x, m in zip(self._shape, shape.tolist(), self._mean, strict=True)]


def _family(weighted: int, squared: int) -> float:
    return weighted / SCALE / math.sqrt(max(1.0, squared) / 65536.0)


def _shown(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")
