"""How far a text lies from the reference set, by default the prompts that the classifier was trained on.

Four statistics, each larger for stranger texts, none of which needs a transformer:

- nearest: one minus the mean cosine to the TOP most similar reference texts, over idf-weighted words, pairs of
  words and one in RUN_STEP of the byte runs, by an inverted index;
- shape: Mahalanobis distance of the SHAPE measures;
- words: the mean idf of the text's words and pairs.

Each becomes a surprise, -log of the share of reference texts that are as strange (beyond the strangest an
exponential tail), and their weighted sum (Fisher's method, WEIGHTS) is compared with the sums of reference
texts, each measured against a reference set without it and without what is nearly the same text. The result
is one minus a conformal p-value: of texts like the reference set at most 1% have a novelty of .99 or above
(Bates et al., arXiv 2104.08279). Sums are over whole numbers or taken exactly: the same text has the same
novelty everywhere.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.features import PLACES, SHAPE, Features

TOP = 3
RUN_STEP = 8
# Squared idf in whole numbers: a sum of thousands stays exact in float64.
UNIT = 1024.0
CLIP = 8.0
# Chosen on dev rows: calibration of a router of MMLU and chat on GSM8K against ranking on its own domain.
# Only the strangest twentieth of texts like the reference set: within it the classifier knows what it is doing.
KNOWN, NOVEL, LEFT = 0.95, 0.98, 0.1
STATISTICS = ("nearest", "shape", "words")
# Chosen on the dev rows of MMLU subjects: the neighbours know topics, the other two form and vocabulary.
WEIGHTS = (1.5, 1.0, 0.3)

# Name: shape and kind; None is any length.
ARRAYS: dict[str, tuple[tuple[int | None, ...], str]] = {
    "novelty_idf": ((PLACES,), "uint16"),
    "novelty_places": ((None,), "uint32"),
    "novelty_ends": ((None,), "uint32"),
    "novelty_texts": ((None,), "uint16"),
    "novelty_norms": ((None,), "float64"),
    "novelty_mean": ((len(SHAPE),), "float64"),
    "novelty_deviation": ((len(SHAPE),), "float64"),
    "novelty_whiten": ((len(SHAPE), len(SHAPE)), "float64"),
    "novelty_tables": ((len(STATISTICS), None), "float64"),
    "novelty_sums": ((None,), "float64"),
}


def shrink(score: float, novelty: float, base: float) -> float:
    """A score pulled towards the `base` rate where a text is novel: there the classifier knows nothing.

    Not at all below a novelty of KNOWN, all but LEFT from NOVEL on, in proportion between. What is left keeps
    the order among novel texts.
    """
    trust = min(1.0, max(LEFT, (NOVEL - novelty) / (NOVEL - KNOWN)))
    return base + trust * (score - base)


class Strangeness(NamedTuple):
    """The statistics of one text, larger for stranger ones."""

    nearest: float
    shape: float
    words: float


class Novelty:
    """Distance to a reference set as a quantile of it."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """What ARRAYS names.

        `idf` of each place, in units of 1 / UNIT ** .5; the inverted index: `places` in order, where in `texts`
        each one's list ends, and the `norms` of the reference texts; `mean`, `deviation` and `whiten` of the shape
        measures; `tables`: sorted values of each statistic over the reference set; `sums`: sorted sums of surprises.
        """
        self._idf: NDArray[np.uint16] = arrays["novelty_idf"]
        # Row 0 is empty and stands for every place that has no list.
        self._rows = np.zeros(PLACES, dtype=np.int32)
        self._rows[arrays["novelty_places"]] = np.arange(1, len(arrays["novelty_places"]) + 1)
        self._starts: NDArray[np.int64] = np.concatenate([[0, 0], arrays["novelty_ends"].astype(np.int64)])
        self._texts: NDArray[np.uint16] = arrays["novelty_texts"]
        self._norms: NDArray[np.float64] = arrays["novelty_norms"]
        self._mean = arrays["novelty_mean"].tolist()
        self._deviation = arrays["novelty_deviation"].tolist()
        self._whiten = [row[: index + 1] for index, row in enumerate(arrays["novelty_whiten"].tolist())]
        self._surprises = [Surprise(row.tolist()) for row in arrays["novelty_tables"]]
        self._sums = arrays["novelty_sums"].tolist()

    def of(self, features: Features) -> float:
        """In [0, 1). Never raises."""
        return bisect_left(self._sums, self.surprise(self.strangeness(features))) / (len(self._sums) + 1)

    def surprise(self, strangeness: Strangeness) -> float:
        """The sum that is compared with those of the reference set."""
        parts = zip(WEIGHTS, self._surprises, strangeness, strict=True)
        return math.fsum(weight * table(value) for weight, table, value in parts)

    def strangeness(self, features: Features) -> Strangeness:
        """The three statistics."""
        words = self._idf[features.words]
        cosines = self.cosines(features)
        nearest = np.partition(cosines, -TOP)[-TOP:] if len(cosines) > TOP else cosines
        shape = [(x - m) / d for x, m, d in zip(features.shape, self._mean, self._deviation, strict=True)]
        return Strangeness(
            1.0 - math.fsum(nearest.tolist()) / TOP,
            self._distance([min(CLIP, max(-CLIP, value)) for value in shape]),
            int(words.sum(dtype=np.int64)) / max(1, len(words)),
        )

    def cosines(self, features: Features) -> NDArray[np.float64]:
        """The cosine to each reference text, (n,)."""
        places = np.concatenate([features.words, features.runs[features.runs % RUN_STEP == 0]])
        squared = self._idf[places].astype(np.float64)
        squared *= squared
        norm = math.sqrt(float(squared.sum()))
        rows = self._rows[places]
        starts = self._starts[rows]
        lengths = self._starts[rows + 1] - starts
        ends = np.cumsum(lengths)
        if not len(ends) or not ends[-1]:
            return np.zeros(len(self._norms))
        where = np.arange(int(ends[-1])) + np.repeat(starts - (ends - lengths), lengths)
        counted = np.bincount(self._texts[where], np.repeat(squared, lengths), len(self._norms))
        cosines: NDArray[np.float64] = counted / (self._norms * norm)
        return cosines

    def _distance(self, shape: list[float]) -> float:
        return math.fsum(math.fsum(w * x for w, x in zip(row, shape, strict=False)) ** 2 for row in self._whiten)


class Surprise:
    """-log of the share of reference texts whose value is as large, with an exponential tail beyond them."""

    def __init__(self, values: list[float]) -> None:
        """`values`: sorted, of the reference set."""
        self._values = values
        count = len(values)
        start = count - 1 - count // 20
        self._scale = max(1e-9, math.fsum(v - values[start] for v in values[start:]) / (count - start))

    def __call__(self, value: float) -> float:
        count = len(self._values)
        larger = count - bisect_left(self._values, value)
        beyond = max(0.0, value - self._values[-1]) / self._scale
        return math.log((count + 1) / (larger + 1)) + min(beyond, 50.0)
