"""Word vectors by which training carries over what it learned about one word to words of similar meaning.

A few hundred prompts have few words in common with the next thousand. The table gives each of some 30,000 words a
vector (see `tests/bench/difficulty/words.py` for how it was made); the mean vector of a text's words is one more input
of the linear models. Their weights for it are then folded into the weights of the words themselves, so that an artifact
holds no vectors and a decision costs the same as without them.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from breakeven.router.features.kernel_numpy import BUCKETS, WORD_BUCKETS

_FILE = Path(__file__).with_name("words.npz")


class WordVectors(NamedTuple):
    """The table: `vectors` (n, width) of the words whose buckets are `buckets` (n,), ascending."""

    buckets: NDArray[np.int64]
    vectors: NDArray[np.float64]

    def means(self, grams: csr_matrix) -> NDArray[np.float64]:
        """The mean vectors of n texts, (n, width), from the n-gram columns of their design (n, BUCKETS)."""
        found: NDArray[np.float64] = grams[:, self.buckets] @ self.vectors
        return found

    def unfold(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The weights of all n-grams, (heads, BUCKETS), that equal `weights` (heads, width) of the mean vector."""
        found = np.zeros((len(weights), BUCKETS))
        found[:, self.buckets] = weights @ self.vectors.T
        return found


@functools.cache
def word_vectors() -> WordVectors:
    """The table that comes with the package. Raises OSError where it is missing."""
    with np.load(_FILE, allow_pickle=False) as arrays:
        buckets, vectors, scale = arrays["buckets"], arrays["vectors"], float(arrays["scale"])
    if len(buckets) != len(vectors) or int(buckets.max()) >= WORD_BUCKETS:
        raise ValueError(f"{_FILE}: the buckets do not fit the vectors")
    return WordVectors(buckets.astype(np.int64), vectors.astype(np.float64) * scale)
