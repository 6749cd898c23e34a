"""How much of the traffic is common: which share of the newest prompts resembles earlier ones.

Two prompts are compared by their words and pairs of words, all numbers taken as one, and each weighted by how rare it
is in the earlier prompts (a cosine with inverse document frequencies; Salton and Buckley, Term-weighting approaches,
1988). This says what a student could have seen before, and nothing about how well it would answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features.extract import extract
from breakeven.router.statistics import Interval, proportion

# Up to so many of the newest prompts are compared, with up to so many before them.
NEWEST, EARLIER = 1_000, 4_000
# Fewer prompts say too little of a share.
LEAST_PROMPTS = 300
# Cosines from which two prompts are near copies of each other, and alike. Of unrelated prompts fewer than 2 in 100 are
# alike, of everyday questions with a dozen others of the same intent about half.
NEAR_COPY, ALIKE = 0.8, 0.35

_DIGITS = re.compile(r"\d+")
_Words = NDArray[np.int64]


class Resemblance(NamedTuple):
    """Shares of the `newest` prompts with a near copy, and with one that is alike, among the `earlier` ones before."""

    newest: int
    earlier: int
    near_copies: Interval
    alike: Interval


def resemblance(texts: Sequence[str]) -> Resemblance | None:
    """Compare the newest third of these prompts, in order of time, with those before. None below LEAST_PROMPTS."""
    if len(texts) < LEAST_PROMPTS:
        return None
    count = min(NEWEST, len(texts) // 3)
    newest, earlier = texts[-count:], texts[-count - EARLIER : -count]
    nearest = _nearest([_words(text) for text in newest], [_words(text) for text in earlier])
    shares = (proportion(int((nearest >= least).sum()), count) for least in (NEAR_COPY, ALIKE))
    return Resemblance(count, len(earlier), *shares)


def _words(text: str) -> _Words:
    found = extract(_DIGITS.sub("0", text))
    return found.buckets[: found.word_end]


def _nearest(newest: Sequence[_Words], earlier: Sequence[_Words]) -> NDArray[np.float64]:
    """The largest cosine of each of the newest prompts with any of the earlier ones."""
    where: dict[int, list[int]] = {}
    for index, words in enumerate(earlier):
        for word in words.tolist():
            where.setdefault(word, []).append(index)
    weights = {word: math.log((1 + len(earlier)) / (1 + len(of))) for word, of in where.items()}
    # A word that no earlier prompt has is as rare as can be.
    rarest = math.log(1 + len(earlier))
    found = {word: np.array(of) for word, of in where.items()}
    sums = np.zeros(len(earlier))
    for word, of in found.items():
        sums[of] += weights[word]
    best = np.zeros(len(newest))
    for index, words in enumerate(newest):
        shared = np.zeros(len(earlier))
        own = 0.0
        for word in words.tolist():
            own += weights.get(word, rarest)
            if word in found:
                shared[found[word]] += weights[word]
        scale = np.sqrt(own * sums)
        best[index] = np.divide(shared, scale, out=np.zeros(len(earlier)), where=scale > 0).max()
    return best
