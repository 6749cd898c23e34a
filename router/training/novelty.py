"""Fitting novelty to a reference set of texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features.extract import SHAPE_UNIT, Features
from breakeven.router.features.kernel_numpy import CLIP, DEVIATION, SAMPLED_BUCKETS
from breakeven.router.model.novelty import IDF_SQUARED_UNIT, STATISTICS, Novelty, NoveltyStatistics
from breakeven.router.model.tables import Tables
from breakeven.router.outcomes import OutcomeError

MIN_TEXTS = 40
# A decision takes longer with more of them.
MAX_TEXTS = 4096
_FOLDS = 5
# Texts with a cosine above this are near duplicates, such as questions on one long passage.
_NEAR_DUPLICATE = 0.5
# A bucket in more than this share of the texts says little, and its posting list would be the longest.
_COMMON = 0.3
# The index stores text numbers in 16 bits.
_MAX_INDEXED = 1 << 16
_SEED = 20261125


class Reference(NamedTuple):
    """A fitted reference set: the arrays of a `Novelty` in `tables`; `drawn` (n,), the numbers of the texts that it
    consists of; and `sums` (n,), each of these texts' combined value measured against the others.
    """

    tables: Tables
    drawn: NDArray[np.int64]
    sums: NDArray[np.float64]

    def most_novel(self, share: float) -> NDArray[np.int64]:
        """The numbers of the texts that are most novel compared with the others: this share of them, in [0, 1]."""
        return np.sort(self.drawn[np.argsort(-self.sums, kind="stable")[: round(share * len(self.sums))]])


def fit_novelty(features: Sequence[Features], seed: int = _SEED) -> Reference:
    """Fit novelty to the features of the reference texts; of more than MAX_TEXTS a random MAX_TEXTS are used.

    Raises OutcomeError where there are fewer than MIN_TEXTS different ones.
    """
    distinct = list({item.buckets.tobytes(): number for number, item in enumerate(features)}.values())
    if len(distinct) < MIN_TEXTS:
        raise OutcomeError(
            f"novelty is measured against at least {MIN_TEXTS} different texts, there are {len(distinct)}; add more"
        )
    rng = np.random.default_rng(seed)
    drawn = np.array(distinct)[rng.permutation(len(distinct))[:MAX_TEXTS]]
    texts = [features[number] for number in drawn]
    tables = _tables(texts)
    at_random = rng.integers(0, _FOLDS, len(texts)).tolist()
    folds = np.array([at_random[leader] for leader in _near_duplicate_groups(texts, _uncalibrated(tables))])
    seen = np.zeros((len(texts), len(STATISTICS)))
    for fold in range(_FOLDS):
        # Each text is measured against the set without it and its near duplicates.
        rest = _uncalibrated(_tables([text for text, at in zip(texts, folds, strict=True) if at != fold]))
        for number in np.flatnonzero(folds == fold):
            seen[number] = rest.statistics(texts[number])
    tables["novelty_tables"] = np.sort(seen.T, axis=1)
    ready = Novelty({**tables, "novelty_sums": np.zeros(1)})
    sums = np.array([ready.combined(NoveltyStatistics(*of)) for of in seen.tolist()])
    return Reference({**tables, "novelty_sums": np.sort(sums)}, drawn, sums)


def _tables(texts: Sequence[Features]) -> Tables:
    count = _document_frequency(texts)
    return {**_idf(count, len(texts)), **_shape(texts), **_index(texts, count)}


def _uncalibrated(tables: Tables) -> Novelty:
    """A Novelty that gives the statistics of a text, and has no reference values yet to compare them with."""
    return Novelty({**tables, "novelty_tables": np.zeros((len(STATISTICS), 1)), "novelty_sums": np.zeros(1)})


def near_duplicate_groups(features: Sequence[Features]) -> list[int]:
    """For each text the number of the text that represents its group of near duplicates; its own where it has none."""
    return _near_duplicate_groups(features, _uncalibrated(_tables(features[:_MAX_INDEXED])))


def _near_duplicate_groups(texts: Sequence[Features], novelty: Novelty) -> list[int]:
    """The same by union-find over the pairs of texts that `novelty`'s index finds similar."""
    leaders = list(range(len(texts)))

    def leader(index: int) -> int:
        while leaders[index] != index:
            leaders[index] = index = leaders[leaders[index]]
        return index

    for index, text in enumerate(texts):
        for other, cosine in novelty.neighbours(text):
            if cosine > _NEAR_DUPLICATE:
                leaders[leader(other)] = leader(index)
    return [leader(index) for index in range(len(texts))]


def _document_frequency(features: Sequence[Features]) -> NDArray[np.int64]:
    """The number of texts that have each bucket, (SAMPLED_BUCKETS,)."""
    count = np.zeros(SAMPLED_BUCKETS, dtype=np.int64)
    for item in features:
        count[item.buckets[: item.sample_end]] += 1
    return count


def _idf(count: NDArray[np.int64], texts: int) -> Tables:
    # A bucket of only one text counts as unseen, and gets no posting list.
    idf = np.log((1 + texts) / (1 + np.where(count < 2, 0, count))) + 1
    return {"novelty_idf": np.rint(idf * IDF_SQUARED_UNIT**0.5).astype(np.uint16)}


def _index(features: Sequence[Features], count: NDArray[np.int64]) -> Tables:
    """The inverted index, rarest bucket first; buckets that are common or in one text only count in the norms alone."""
    idf = _idf(count, len(features))["novelty_idf"].astype(np.int64)
    taken = [item.buckets[: item.sample_end] for item in features]
    norms = [max(1.0, math.sqrt(int(idf[own] @ idf[own]))) for own in taken]
    every = np.concatenate(taken)
    owner = np.repeat(np.arange(len(taken), dtype=np.uint16), [len(own) for own in taken])
    useful = (count[every] >= 2) & (count[every] <= _COMMON * len(features))
    every, owner = every[useful], owner[useful]
    order = np.lexsort((owner, every, count[every]))
    buckets = np.unique(every)
    buckets = buckets[np.lexsort((buckets, count[buckets]))]
    return {
        "novelty_places": buckets.astype(np.uint32),
        "novelty_ends": np.cumsum(count[buckets]).astype(np.uint32),
        "novelty_texts": owner[order],
        "novelty_norms": np.array(norms),
    }


def _shape(features: Sequence[Features]) -> Tables:
    shape = np.array([item.shape for item in features])
    mean = np.rint(shape.mean(axis=0)).astype(np.int64)
    deviation = np.maximum(shape.std(axis=0), 1e-3 * SHAPE_UNIT)
    standard = np.clip((shape - mean) * (DEVIATION / deviation), -CLIP, CLIP) / DEVIATION
    # Ridge regularisation of the covariance: stronger with fewer texts for the number of measures.
    width = shape.shape[1]
    covariance = np.cov(standard.T) + (0.02 + width / len(features)) * np.eye(width)
    whiten = np.rint(np.linalg.inv(np.linalg.cholesky(covariance)) * 2**16).astype(np.int64)
    return {"novelty_mean": mean, "novelty_deviation": deviation, "novelty_whiten": whiten}
