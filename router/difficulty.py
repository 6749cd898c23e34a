"""The trained classifier at serving speed: one sum over the n-grams of a text, without scikit-learn.

margin = bias + (shape - mean) . w + sum over both families of n-grams of (sum of idf * w) / sqrt(sum of idf ** 2)
score  = 1 / (1 + exp(-(slope * margin + intercept)))

The tables hold whole numbers (fixed point), whose sum does not depend on the order of addition: the same
text has the same score on every platform, in every thread and worker.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.features import (
    PLACES,
    SHAPE,
    Features,
    Places,
    extract,
    normalise,
    run_places,
    word_places,
    word_spans,
)

# Fixed point: 2**-22 is far below what a weight can be estimated to, and 25,000 n-grams stay within int64.
SCALE = float(1 << 22)

# Name: shape and kind.
ARRAYS: dict[str, tuple[tuple[int | None, ...], str]] = {
    "weighted": ((PLACES,), "int32"),
    "squared": ((PLACES,), "int32"),
    "shape": ((len(SHAPE),), "float64"),
    "mean": ((len(SHAPE),), "float64"),
}
NUMBERS = ("bias", "slope", "intercept")


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
        self._weighted: NDArray[np.int32] = arrays["weighted"]
        self._squared: NDArray[np.int32] = arrays["squared"]
        self._shape = [float(weight) for weight in arrays["shape"]]
        self._mean = [float(value) for value in arrays["mean"]]
        self._bias, self._slope, self._intercept = (float(numbers[name]) for name in NUMBERS)

    @property
    def idf(self) -> NDArray[np.float64]:
        """Inverse document frequency by place."""
        idf: NDArray[np.float64] = np.sqrt(self._squared / 65536.0)
        return idf

    @property
    def weights(self) -> Weights:
        """The fitted weights."""
        grams = self._weighted / SCALE / np.maximum(self.idf, 1e-9)
        return Weights(grams, np.array(self._shape), np.array(self._mean), self._bias)

    def score(self, text: str) -> float:
        """In [0, 1]. Never raises for a string."""
        return self.calibrate(self.margin(extract(text)))

    def margin(self, features: Features) -> float:
        """The uncalibrated sum."""
        shape = math.fsum(self._of_shape(features.shape))
        return self._bias + shape + self._family(features.words) + self._family(features.runs)

    def calibrate(self, margin: float) -> float:
        """A margin as a probability."""
        z = self._slope * margin + self._intercept
        return 1.0 / (1.0 + math.exp(-z)) if z > -700.0 else 0.0

    def explain(self, text: str, count: int = 8) -> list[Push]:
        """The features that pushed the score most, strongest first."""
        features = extract(text)
        pushes: dict[str, float] = {}
        pushes.update(zip(SHAPE, self._of_shape(features.shape), strict=True))
        plain = normalise(text)
        words = [plain[start:end].decode("utf-8", "replace") for start, end in zip(*word_spans(plain), strict=True)]
        singles, pairs = word_places(plain)
        norm = self._norm(features.words)
        for index, place in enumerate(singles):
            pushes[f"word {words[index]!r}"] = self._of(place, norm)
        for index, place in enumerate(pairs):
            pushes[f"words {words[index] + ' ' + words[index + 1]!r}"] = self._of(place, norm)
        norm = self._norm(features.runs)
        data = b" %b " % plain
        for n, places in run_places(plain):
            for index, place in enumerate(places):
                piece = data[index : index + n].decode("utf-8", "replace")
                pushes[f"letters {piece!r}"] = self._of(place, norm)
        ranked = sorted(pushes.items(), key=lambda item: (-abs(item[1]), item[0]))
        return [Push(name, push) for name, push in ranked[:count]]

    def _of_shape(self, shape: list[float]) -> list[float]:
        return [w * (x - m) for w, x, m in zip(self._shape, shape, self._mean, strict=True)]

    def _family(self, places: Places) -> float:
        if not len(places):
            return 0.0
        return int(self._weighted[places].sum(dtype=np.int64)) / SCALE / self._norm(places)

    def _norm(self, places: Places) -> float:
        return math.sqrt(max(1, int(self._squared[places].sum(dtype=np.int64))) / 65536.0)

    def _of(self, place: int, norm: float) -> float:
        return int(self._weighted[place]) / SCALE / norm
