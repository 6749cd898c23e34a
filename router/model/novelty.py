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

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features import kernel
from breakeven.router.features.extract import SHAPE, Features
from breakeven.router.features.kernel_numpy import IDF_BITS, SAMPLED, STEP
from breakeven.router.model.tables import Shapes

TOP = 3
# How many entries of the inverted index are read for one text, and how many texts are then compared in full.
POSTINGS = 1500
CANDIDATES = 10
# Squared idf in whole numbers: a sum of thousands stays exact in float64.
UNIT = 1024.0
# Chosen on dev rows: calibration of a router of MMLU and chat on GSM8K against ranking on its own domain. From which
# novelty on a score is shrunk, where it is shrunk most, how much is then left; for scores more than BAND above the base
# rate, and for those below it.
HIGH, LOW, BAND = (0.6, 0.85, 0.1), (0.97, 0.995, 0.3), 0.06
STATISTICS = ("nearest", "shape", "words")
# Chosen on the dev rows of MMLU subjects: the neighbours know topics, the other two form and vocabulary.
WEIGHTS = (1.5, 1.0, 0.2)

ARRAYS: Shapes = {
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
    """A score pulled where a text is novel, since there the classifier knows nothing: towards the `base`, how often the
    student was worse on texts that were novel.

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
        self._norms = arrays["novelty_norms"].tolist()
        self._index = _index(arrays)
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
        return math.fsum([weight * table(value) for weight, table, value in parts])

    def strangeness(self, features: Features) -> Strangeness:
        """The three statistics."""
        cosines, idf = self._nearest(features)
        nearest = sorted([cosine for _, cosine in cosines])[-TOP:]
        words = idf / max(1, features.words)
        return Strangeness(1.0 - math.fsum(nearest) / TOP, self._distance(features.shape), words)

    def neighbours(self, features: Features) -> list[tuple[int, float]]:
        """The most similar reference texts and their cosines, in no order: exact ones, of the CANDIDATES texts that
        share most with this one among its rarest places.
        """
        return self._nearest(features)[0]

    def _nearest(self, features: Features) -> tuple[list[tuple[int, float]], int]:
        """Neighbours, and the sum of the idf of words and pairs."""
        sample = features.places[: features.sample]
        squared, idf, near = kernel.nearest(sample, features.words, self._index, POSTINGS, CANDIDATES)
        norm = math.sqrt(squared)
        return [(text, common / (self._norms[text] * norm)) for text, common in near], idf

    def _distance(self, shape: NDArray[np.int64]) -> float:
        return int(kernel.distance(shape, self._mean, self._scale, self._whiten)) / STEP**2


def _index(arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The index as `vectors.nearest` wants it. Raises ValueError where the arrays contradict each other: compiled
    code follows what they say.
    """
    places, owners = arrays["novelty_places"], np.ascontiguousarray(arrays["novelty_texts"])
    upto = np.concatenate([[0], arrays["novelty_ends"].astype(np.int64)])
    counts = upto[1:] - upto[:-1]
    norms = arrays["novelty_norms"]
    texts = len(norms)
    fits = len(places) == len(counts) and int(counts.sum()) == len(owners) and len(arrays["novelty_idf"]) < 1 << 20
    if not fits or (counts < 0).any() or (len(owners) and int(owners.max()) >= texts) or not (norms >= 1.0).all():
        raise ValueError("the index of the reference texts contradicts itself")
    known = arrays["novelty_idf"].astype(np.uint32) & ((1 << IDF_BITS) - 1)
    known[places] |= np.arange(1, len(places) + 1, dtype=np.uint32) << IDF_BITS
    starts = np.concatenate([[0], upto]).astype(np.uint32)
    # The same by text: the rows of each one.
    rows = np.repeat(np.arange(1, len(places) + 1, dtype=np.uint32), counts)
    held = rows[np.argsort(owners, kind="stable")]
    ends = np.concatenate([[0], np.bincount(owners, minlength=texts).cumsum()]).astype(np.uint32)
    idf = np.concatenate([[0], known[places] & ((1 << IDF_BITS) - 1)])
    inverse = np.rint((1 << 30) / norms).astype(np.int64) << 16
    return known, starts, owners, held, ends, (idf * idf).astype(np.uint32), inverse


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
