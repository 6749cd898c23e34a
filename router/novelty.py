"""How far a text lies from the reference set, by default the prompts that the classifier was trained on.

Three statistics, each larger for stranger texts, none of which needs a transformer:

- nearest: one minus the mean cosine to the TOP most similar reference texts, over idf-weighted words, pairs of
  words and half of the byte runs. An inverted index, read from the rarest place on and no further than POSTINGS
  entries, names CANDIDATES texts, and those are compared in full;
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

import itertools
import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.features import SAMPLED, SHAPE, Features

TOP = 3
# How many entries of the inverted index are read for one text, and how many texts are then compared in full.
POSTINGS = 1500
CANDIDATES = 10
_BITS = 12
_MASK, _ROW = (1 << _BITS) - 1, (1 << 2 * _BITS) - 1
# Squared idf in whole numbers: a sum of thousands stays exact in float64.
UNIT = 1024.0
# A standard deviation of a shape measure in whole numbers, and where what is far off is cut.
STEP = 1 << 12
CLIP = 8 * STEP
# Chosen on dev rows: calibration of a router of MMLU and chat on GSM8K against ranking on its own domain. From which
# novelty on a score is shrunk, where it is shrunk most, how much is then left; for scores more than BAND above the base
# rate, and for those below it.
HIGH, LOW, BAND = (0.5, 0.85, 0.05), (0.95, 0.98, 0.1), 0.1
STATISTICS = ("nearest", "shape", "words")
# Chosen on the dev rows of MMLU subjects: the neighbours know topics, the other two form and vocabulary.
WEIGHTS = (1.5, 1.0, 0.2)

# Name: shape and kind; None is any length.
ARRAYS: dict[str, tuple[tuple[int | None, ...], str]] = {
    "novelty_idf": ((SAMPLED,), "uint16"),
    "novelty_places": ((None,), "uint32"),
    "novelty_ends": ((None,), "uint32"),
    "novelty_texts": ((None,), "uint16"),
    "novelty_norms": ((None,), "float64"),
    "novelty_mean": ((len(SHAPE),), "int64"),
    "novelty_deviation": ((len(SHAPE),), "float64"),
    "novelty_whiten": ((len(SHAPE), len(SHAPE)), "int64"),
    "novelty_tables": ((len(STATISTICS), None), "float64"),
    "novelty_sums": ((None,), "float64"),
}


def shrink(score: float, novelty: float, base: float) -> float:
    """A score pulled towards the `base` rate where a text is novel: there the classifier knows nothing.

    A score far above the base rate is pulled early: on texts like the reference set few are that high, so that this
    costs little there, and what is taken for another kind of traffic gets such scores. All others are pulled only
    where almost no text of the reference set is. What is left keeps the order among novel texts.
    """
    excess = max(0.0, score - base - BAND)
    return base + _trust(novelty, LOW) * (score - base - excess) + _trust(novelty, HIGH) * excess


def _trust(novelty: float, where: tuple[float, float, float]) -> float:
    known, novel, left = where
    return min(1.0, max(left, (novel - novelty) / (novel - known)))


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
        idf = arrays["novelty_idf"].astype(np.int64)
        places, texts = arrays["novelty_places"].astype(np.int64), arrays["novelty_texts"]
        # Of each place its row in the index and its idf. The rarer a place, the lower its row; row 0 is empty and
        # stands for every place that has no list.
        self._places = idf
        self._places[places] |= np.arange(1, len(places) + 1) << _BITS
        self._starts = np.concatenate([[0, 0], arrays["novelty_ends"].astype(np.int64)])
        self._lengths = np.diff(self._starts)
        squared = np.concatenate([[0], arrays["novelty_idf"][places].astype(np.int64) ** 2])
        self._texts: NDArray[np.uint16] = texts
        self._norms = arrays["novelty_norms"].tolist()
        self._inverse = np.rint((1 << 30) / arrays["novelty_norms"]).astype(np.int64) << 16
        self._numbers = np.arange(len(self._norms))
        self._every = np.arange(POSTINGS + len(self._norms))
        # The same index by text: the rows of each one, with an empty one so that none has none, and their weights.
        owner = np.concatenate([self._numbers.astype(np.uint16), texts])
        order = np.argsort(owner, kind="stable")
        held = np.repeat(squared << _BITS * 2 | np.arange(len(squared)), [len(self._norms), *self._lengths[1:]])
        self._held = held[order]
        self._ends = [0, *np.cumsum(np.bincount(owner)).tolist()]
        self._mean: NDArray[np.int64] = arrays["novelty_mean"]
        self._scale: NDArray[np.float64] = STEP / arrays["novelty_deviation"]
        self._whiten: NDArray[np.int64] = arrays["novelty_whiten"]
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
        found = self._places.take(features.places[: features.sample])
        idf = found & _MASK
        cosines = sorted(cosine for _, cosine in self._neighbours(found >> _BITS, idf))
        words = int(np.add.reduce(idf[: features.words])) / max(1, features.words)
        return Strangeness(1.0 - math.fsum(cosines[-TOP:]) / TOP, self._distance(features.shape), words)

    def neighbours(self, features: Features) -> list[tuple[int, float]]:
        """The most similar reference texts and their cosines, in no order: exact ones, of the CANDIDATES texts that
        share most with this one among its rarest places.
        """
        found = self._places.take(features.places[: features.sample])
        return self._neighbours(found >> _BITS, found & _MASK)

    def _neighbours(self, rows: NDArray[np.int64], idf: NDArray[np.int64]) -> list[tuple[int, float]]:
        rows.sort()
        near = self._candidates(rows)
        if not near:
            return []
        norm = math.sqrt(int(idf @ idf))
        seen = np.zeros(len(self._lengths), dtype=bool)
        seen[rows] = True
        ends = self._ends
        held = np.concatenate([self._held[ends[text] : ends[text + 1]] for text in near])
        shared = seen.take(held & _ROW)
        held >>= 2 * _BITS
        held *= shared
        starts = [0, *itertools.accumulate(ends[text + 1] - ends[text] for text in near[:-1])]
        sums = np.add.reduceat(held, starts).tolist()
        return [(text, common / (self._norms[text] * norm)) for text, common in zip(near, sums, strict=True)]

    def _candidates(self, rows: NDArray[np.int64]) -> list[int]:
        """The texts that share most with these rows, ascending, as far as POSTINGS entries tell."""
        # Rare places first: a long text is not more work than a short one.
        lengths = self._lengths.take(rows)
        ends = lengths.cumsum()
        count = int(ends.searchsorted(POSTINGS, "right")) or 1
        rows, lengths, ends = rows[:count], lengths[:count], ends[:count]
        if not len(ends) or not ends[-1]:
            return []
        where = (self._starts.take(rows) - ends + lengths).repeat(lengths)
        where += self._every[: len(where)]
        # Rare places weigh much the same; the comparison in full is exact. The keys are whole numbers that differ:
        # which are the largest does not depend on how they are sorted.
        keys = np.bincount(self._texts.take(where), minlength=len(self._norms)) * self._inverse
        keys |= self._numbers
        if len(keys) > CANDIDATES:
            keys.partition(len(keys) - CANDIDATES)
            keys = keys[-CANDIDATES:]
        found: list[int] = (keys & 0xFFFF).tolist()
        return found

    def _distance(self, shape: NDArray[np.int64]) -> float:
        standard = (shape - self._mean) * self._scale
        np.minimum(standard, CLIP, out=standard)
        np.maximum(standard, -CLIP, out=standard)
        found = (self._whiten @ np.rint(standard).astype(np.int64)) >> 16
        return int(found @ found) / STEP**2


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
