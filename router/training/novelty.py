"""Fitting the novelty signal to a reference set of texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features.extract import UNIT as SHAPE_UNIT
from breakeven.router.features.extract import Features
from breakeven.router.features.kernel_numpy import CLIP, SAMPLED, STEP
from breakeven.router.model.novelty import STATISTICS, UNIT, Novelty, Strangeness
from breakeven.router.model.tables import Tables
from breakeven.router.outcomes import OutcomeError

MIN_TEXTS = 40
# More of them cost time at each decision.
MAX_TEXTS = 4096
_FOLDS = 5
# Texts with a cosine above this are one text in several forms, such as questions on one long passage.
_NEARLY_THE_SAME = 0.5
# A place that this share of the texts has says little and costs most.
_COMMON = 0.3
# An owner in the index has 16 bits.
_MOST = 1 << 16
_SEED = 20261125


class Reference(NamedTuple):
    """A reference set, fitted: `tables`, the arrays of a Novelty; `drawn` (n,), which of the texts are in them; and
    `sums` (n,), how much each of these surprises beside the others.
    """

    tables: Tables
    drawn: NDArray[np.int64]
    sums: NDArray[np.float64]

    def strangest(self, share: float) -> NDArray[np.int64]:
        """Which texts are in this share of those that are most novel to the others."""
        return np.sort(self.drawn[np.argsort(-self.sums, kind="stable")[: round(share * len(self.sums))]])


def fit_novelty(features: Sequence[Features], seed: int = _SEED) -> Reference:
    """Fit the features of the reference texts; of many texts a random MAX_TEXTS.

    Raises OutcomeError where there are fewer than MIN_TEXTS different ones.
    """
    distinct = list({item.places.tobytes(): number for number, item in enumerate(features)}.values())
    if len(distinct) < MIN_TEXTS:
        raise OutcomeError(
            f"novelty is measured against at least {MIN_TEXTS} different texts, there are {len(distinct)}; add more"
        )
    rng = np.random.default_rng(seed)
    drawn = np.array(distinct)[rng.permutation(len(distinct))[:MAX_TEXTS]]
    texts = [features[number] for number in drawn]
    tables = _tables(texts)
    at_random = rng.integers(0, _FOLDS, len(texts)).tolist()
    folds = np.array([at_random[leader] for leader in _kin(texts, _bare(tables))])
    seen = np.zeros((len(texts), len(STATISTICS)))
    for fold in range(_FOLDS):
        # Each text is measured against the set without it and what is nearly the same.
        rest = _bare(_tables([text for text, at in zip(texts, folds, strict=True) if at != fold]))
        for number in np.flatnonzero(folds == fold):
            seen[number] = rest.strangeness(texts[number])
    tables["novelty_tables"] = np.sort(seen.T, axis=1)
    ready = Novelty({**tables, "novelty_sums": np.zeros(1)})
    sums = np.array([ready.surprise(Strangeness(*of)) for of in seen.tolist()])
    return Reference({**tables, "novelty_sums": np.sort(sums)}, drawn, sums)


def _tables(texts: Sequence[Features]) -> Tables:
    count = _count(texts)
    return {**_idf(count, len(texts)), **_shape(texts), **_index(texts, count)}


def _bare(tables: Tables) -> Novelty:
    """A Novelty that gives statistics and has nothing yet to compare them with."""
    return Novelty({**tables, "novelty_tables": np.zeros((len(STATISTICS), 1)), "novelty_sums": np.zeros(1)})


def kin(features: Sequence[Features]) -> list[int]:
    """For each text the number of one that stands for it and for all that are nearly the same; for it alone its own."""
    return _kin(features, _bare(_tables(features[:_MOST])))


def _kin(texts: Sequence[Features], novelty: Novelty) -> list[int]:
    leaders = list(range(len(texts)))

    def leader(index: int) -> int:
        while leaders[index] != index:
            leaders[index] = index = leaders[leaders[index]]
        return index

    for index, text in enumerate(texts):
        for other, cosine in novelty.neighbours(text):
            if cosine > _NEARLY_THE_SAME:
                leaders[leader(other)] = leader(index)
    return [leader(index) for index in range(len(texts))]


def _count(features: Sequence[Features]) -> NDArray[np.int64]:
    """In how many texts each place occurs."""
    count = np.zeros(SAMPLED, dtype=np.int64)
    for item in features:
        count[item.places[: item.sample]] += 1
    return count


def _idf(count: NDArray[np.int64], texts: int) -> Tables:
    # A place of one text only is taken as unseen, so that there is no list for it.
    idf = np.log((1 + texts) / (1 + np.where(count < 2, 0, count))) + 1
    return {"novelty_idf": np.rint(idf * UNIT**0.5).astype(np.uint16)}


def _index(features: Sequence[Features], count: NDArray[np.int64]) -> Tables:
    """The inverted index, rare places first; common and single places weigh in the norms alone."""
    idf = _idf(count, len(features))["novelty_idf"].astype(np.int64)
    taken = [item.places[: item.sample] for item in features]
    norms = [max(1.0, math.sqrt(int(idf[places] @ idf[places]))) for places in taken]
    every = np.concatenate(taken)
    owner = np.repeat(np.arange(len(taken), dtype=np.uint16), [len(places) for places in taken])
    useful = (count[every] >= 2) & (count[every] <= _COMMON * len(features))
    every, owner = every[useful], owner[useful]
    order = np.lexsort((owner, every, count[every]))
    places = np.unique(every)
    places = places[np.lexsort((places, count[places]))]
    return {
        "novelty_places": places.astype(np.uint32),
        "novelty_ends": np.cumsum(count[places]).astype(np.uint32),
        "novelty_texts": owner[order],
        "novelty_norms": np.array(norms),
    }


def _shape(features: Sequence[Features]) -> Tables:
    shape = np.array([item.shape for item in features])
    mean = np.rint(shape.mean(axis=0)).astype(np.int64)
    deviation = np.maximum(shape.std(axis=0), 1e-3 * SHAPE_UNIT)
    standard = np.clip((shape - mean) * (STEP / deviation), -CLIP, CLIP) / STEP
    # The more measures for each text, the more the estimate is pulled towards independent measures.
    width = shape.shape[1]
    covariance = np.cov(standard.T) + (0.02 + width / len(features)) * np.eye(width)
    whiten = np.rint(np.linalg.inv(np.linalg.cholesky(covariance)) * 2**16).astype(np.int64)
    return {"novelty_mean": mean, "novelty_deviation": deviation, "novelty_whiten": whiten}
