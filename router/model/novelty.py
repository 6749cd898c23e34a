"""How far a text is from the reference set, by default the prompts that the classifier was trained on.

Three statistics, each larger for texts that are less like the reference set, none of which needs a transformer:

- nearest: one minus the mean cosine to the TOP most similar reference texts, over idf-weighted word unigrams, bigrams
  and half of the byte n-grams. An inverted index, read from the rarest bucket on and up to POSTINGS entries, gives
  CANDIDATES texts, and those are compared exactly;
- shape: the Mahalanobis distance of the shape measures;
- words: the mean idf of the text's word unigrams and bigrams.

Each statistic becomes -log of its tail probability: the share of reference texts with a value as large (beyond the
largest, an exponential tail). Their weighted sum (Fisher's method, WEIGHTS) is compared with the sums of the reference
texts, each measured against a reference set without it and its near duplicates. The result is one minus a conformal
p-value: of texts like the reference set at most 1% have a novelty of .99 or above (Bates et al., arXiv 2104.08279).
Sums are over whole numbers or exact: the same text has the same novelty everywhere.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features import kernel
from breakeven.router.features.extract import SHAPE, Features
from breakeven.router.features.kernel_numpy import DEVIATION, IDF_BITS, SAMPLED_BUCKETS
from breakeven.router.model.tables import Shapes

TOP = 3
# How many entries of the inverted index are read for one text, and how many texts are then compared exactly.
POSTINGS = 1500
CANDIDATES = 10
# Squared idf in fixed point: a sum of thousands stays exact in float64.
IDF_SQUARED_UNIT = 1024.0
# How scores are shrunk towards the base rate: the novelty at which that starts, the novelty from which on it is
# strongest, and the share of the difference that remains then. HIGH is for the part of a score more than BAND above the
# base rate, LOW for the rest. Chosen on dev rows: calibration of a router of MMLU and chat on GSM8K, against ranking in
# its domain.
HIGH, LOW, BAND = (0.6, 0.85, 0.1), (0.97, 0.995, 0.3), 0.06
STATISTICS = ("nearest", "shape", "words")
# Chosen on the dev rows of MMLU subjects: the first statistic tells topics apart, the other two form and vocabulary.
WEIGHTS = (1.5, 1.0, 0.2)

# A text of fewer distinct n-grams (of those that novelty reads, about one for each of its letters) is too short to be
# novel, and has at most this novelty.
LEAST, SHORT = 12, 0.5

# The names are part of the artifact's format.
ARRAYS: Shapes = {
    "novelty_idf": ((SAMPLED_BUCKETS,), "uint16"),
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
    """A score in [0, 1] shrunk towards the `base` rate by its `novelty`, since the classifier has not seen such texts.

    `base` is how often the student was worse on novel texts. The part of a score far above the base rate is shrunk from
    a lower novelty on: few texts like the reference set score that high, so that it costs little there, while other
    kinds of traffic often do. The rest is shrunk only where almost no text of the reference set is. Never reverses the
    order of two scores of the same novelty.
    """
    excess = max(0.0, score - base - BAND)
    return base + _share_kept(novelty, LOW) * (score - base - excess) + _share_kept(novelty, HIGH) * excess


def _share_kept(novelty: float, ramp: tuple[float, float, float]) -> float:
    """1 below the start of the ramp, falling linearly, and never below what remains at its end."""
    start, end, remains = ramp
    return min(1.0, max(remains, (end - novelty) / (end - start)))


class NoveltyStatistics(NamedTuple):
    """The three statistics of one text, larger for texts less like the reference set."""

    nearest: float
    shape: float
    words: float


class Novelty:
    """The novelty of a text: a quantile of the reference set."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """`arrays` holds what ARRAYS names.

        `novelty_idf` of each bucket, in units of 1 / sqrt(IDF_SQUARED_UNIT); the inverted index: `novelty_places`, the
        buckets with a posting list, rarest first, the end of each list (`novelty_ends`) in `novelty_texts`, and the
        `novelty_norms` of the reference texts; mean, deviation and whitening matrix of the shape measures;
        `novelty_tables`: the sorted values of each statistic over the reference set; `novelty_sums`: their sorted
        combined values. Raises ValueError where the arrays of the index do not fit each other.
        """
        self._norms = arrays["novelty_norms"].tolist()
        self._index = _index(arrays)
        self._mean: NDArray[np.int64] = arrays["novelty_mean"]
        self._scale: NDArray[np.float64] = DEVIATION / arrays["novelty_deviation"]
        self._whiten: NDArray[np.int64] = arrays["novelty_whiten"]
        self._tails = [TailScore(row.tolist()) for row in arrays["novelty_tables"]]
        self._sums = arrays["novelty_sums"].tolist()

    def quantile(self, features: Features) -> float:
        """The novelty of a text, in [0, 1): the share of reference texts with a smaller combined value.

        At most SHORT for a text of fewer than LEAST n-grams: too little to tell what it is like. Never raises.
        """
        if features.sample_end < LEAST:
            return min(SHORT, self._quantile(features))
        return self._quantile(features)

    def _quantile(self, features: Features) -> float:
        return bisect_left(self._sums, self.combined(self.statistics(features))) / (len(self._sums) + 1)

    def combined(self, statistics: NoveltyStatistics) -> float:
        """The weighted sum of the -log tail probabilities of the three statistics."""
        parts = zip(WEIGHTS, self._tails, statistics, strict=True)
        return math.fsum([weight * tail(value) for weight, tail, value in parts])

    def statistics(self, features: Features) -> NoveltyStatistics:
        """The three statistics of a text."""
        cosines, idf = self._nearest(features)
        nearest = sorted([cosine for _, cosine in cosines])[-TOP:]
        words = idf / max(1, features.word_end)
        return NoveltyStatistics(1.0 - math.fsum(nearest) / TOP, self._distance(features.shape), words)

    def neighbours(self, features: Features) -> list[tuple[int, float]]:
        """The numbers and exact cosines of the most similar reference texts, in no order.

        They are chosen among the CANDIDATES texts that share most of this text's rarest buckets.
        """
        return self._nearest(features)[0]

    def _nearest(self, features: Features) -> tuple[list[tuple[int, float]], int]:
        """What `neighbours` returns, and the sum of the idf of word unigrams and bigrams."""
        sample = features.buckets[: features.sample_end]
        squared, idf, near = kernel.nearest(sample, features.word_end, self._index, POSTINGS, CANDIDATES)
        norm = math.sqrt(squared)
        return [(text, common / (self._norms[text] * norm)) for text, common in near], idf

    def _distance(self, shape: NDArray[np.int64]) -> float:
        return int(kernel.mahalanobis(shape, self._mean, self._scale, self._whiten)) / DEVIATION**2


def _index(arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The index in the form that `kernel.nearest` takes.

    Raises ValueError where the arrays do not fit each other: compiled code reads memory at the positions they give.
    """
    buckets, owners = arrays["novelty_places"], np.ascontiguousarray(arrays["novelty_texts"])
    upto = np.concatenate([[0], arrays["novelty_ends"].astype(np.int64)])
    counts = upto[1:] - upto[:-1]
    norms = arrays["novelty_norms"]
    texts = len(norms)
    fits = len(buckets) == len(counts) and int(counts.sum()) == len(owners) and len(arrays["novelty_idf"]) < 1 << 20
    if not fits or (counts < 0).any() or (len(owners) and int(owners.max()) >= texts) or not (norms >= 1.0).all():
        raise ValueError("the arrays of the novelty index do not fit each other")
    known = arrays["novelty_idf"].astype(np.uint32) & ((1 << IDF_BITS) - 1)
    known[buckets] |= np.arange(1, len(buckets) + 1, dtype=np.uint32) << IDF_BITS
    starts = np.concatenate([[0], upto]).astype(np.uint32)
    # The transposed index: the rows of each text.
    rows = np.repeat(np.arange(1, len(buckets) + 1, dtype=np.uint32), counts)
    held = rows[np.argsort(owners, kind="stable")]
    ends = np.concatenate([[0], np.bincount(owners, minlength=texts).cumsum()]).astype(np.uint32)
    idf = np.concatenate([[0], known[buckets] & ((1 << IDF_BITS) - 1)])
    inverse = np.rint((1 << 30) / norms).astype(np.int64) << 16
    return known, starts, owners, held, ends, (idf * idf).astype(np.uint32), inverse


class TailScore:
    """-log of the share of reference texts whose value is at least as large, with an exponential tail beyond them."""

    def __init__(self, values: list[float]) -> None:
        """`values`: those of the reference set, sorted."""
        self._values = values
        count = len(values)
        start = count - 1 - count // 20
        self._scale = max(1e-9, math.fsum(v - values[start] for v in values[start:]) / (count - start))

    def __call__(self, value: float) -> float:
        """The score of a value; 0 where it is below all reference values."""
        count = len(self._values)
        larger = count - bisect_left(self._values, value)
        beyond = max(0.0, value - self._values[-1]) / self._scale
        return math.log((count + 1) / (larger + 1)) + min(beyond, 50.0)
