"""Kernel-weighted kNN: how often both models fail on the training prompts that are similar to a text.

A linear classifier cannot learn "the student gets most questions on this topic wrong" where no single word tells. Word
unigrams and bigrams place each text in a latent semantic space of DIMENSIONS dimensions (Deerwester et al., 1990,
"Indexing by latent semantic analysis"). Each training prompt has a label for each head: by how much that model failed
more on it than on average. A text gets the mean of the labels, weighted by the 16th power of the cosine (Nadaraya,
Watson, 1964), with one more label of zero and weight one, so that the mean goes to zero far from all training prompts.
Points and labels are whole numbers, whose sums do not depend on the order of addition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features import kernel
from breakeven.router.features.extract import Features
from breakeven.router.features.kernel_numpy import BLOCK, DIMENSIONS, POINT_LENGTH, WEIGHT_ONE, WORD_BUCKETS
from breakeven.router.model.heads import HEADS, Logits
from breakeven.router.model.tables import Shapes, Tables, empty

# The most training prompts, and the most word n-grams with a row in the space; a decision takes longer with more.
MAX_PROMPTS = 1 << 14
MAX_TERMS = 1 << 14
# Labels in fixed point. The largest label leaves room for the sum of MAX_PROMPTS of them.
SCALE = float(1 << 22)
_MAX_LABEL = 500.0

# The names are part of the artifact's format.
ARRAYS: Shapes = {
    "space_terms": ((None,), "uint32"),
    "space_table": ((None, DIMENSIONS), "int16"),
    "votes_points": ((None, DIMENSIONS), "int16"),
    "votes_opinions": ((None, HEADS), "int32"),
}

Points = NDArray[np.int16]


class LatentSpace:
    """Projects texts into the latent space: the sum of the `space_table` rows of a text's terms, at POINT_LENGTH."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """`arrays` holds `space_terms` (n,), buckets of word n-grams, and `space_table` (n, DIMENSIONS).

        Raises ValueError where they do not fit each other: compiled code reads memory at the positions they give.
        """
        terms, table = arrays["space_terms"], arrays["space_table"]
        if len(terms) != len(table) or len(terms) > MAX_TERMS or (len(terms) and int(terms.max()) >= WORD_BUCKETS):
            raise ValueError("the terms of the latent space do not fit its table")
        # The row of each bucket; the first row, of zeros, is for all buckets that are not terms.
        self._row_of = np.zeros(WORD_BUCKETS, dtype=np.uint16)
        self._row_of[terms] = np.arange(1, len(terms) + 1)
        self._table = np.concatenate([np.zeros((1, DIMENSIONS), np.int16), table])

    def point(self, features: Features) -> bytes:
        """The point of one text: DIMENSIONS numbers as int16 bytes, all zero where it has no known term."""
        found: bytes = kernel.latent_point(features.buckets[: features.word_end], self._row_of, self._table)
        return found

    def points(self, features: Sequence[Features]) -> Points:
        """The points of n texts, (n, DIMENSIONS)."""
        found = b"".join(self.point(item) for item in features)
        return np.frombuffer(found, dtype=np.int16).reshape(len(features), DIMENSIONS)


class KernelKnn:
    """The kernel-weighted mean label of the training prompts around a point."""

    def __init__(self, points: Points, labels: NDArray[np.int32]) -> None:
        """`points` (n, DIMENSIONS) of the training prompts and their `labels` (n, HEADS) in units of 1 / SCALE.

        Raises ValueError where their lengths differ, are too large, or a point is too long.
        """
        lengths = (points.astype(np.int64) ** 2).sum(axis=1)
        if len(points) != len(labels) or len(points) > MAX_PROMPTS or (lengths > 2 * POINT_LENGTH**2).any():
            raise ValueError("the points and labels of the kNN table do not fit each other")
        self._points, self._labels = _blocks(points), _blocks(labels)

    def __call__(self, point: bytes) -> Logits:
        """The weighted mean label of each head at a point that `LatentSpace.point` returned."""
        student, teacher, weight = kernel.knn_sums(point, self._points, self._labels)
        total = weight + WEIGHT_ONE
        # The kernel divides each product by 2**16, so that the sums fit into 64 bits.
        return Logits(student / total * (65536.0 / SCALE), teacher / total * (65536.0 / SCALE))


def _blocks(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows (n, columns) as (blocks, columns, BLOCK), the last block filled up with zeros."""
    count, columns = rows.shape
    full = np.zeros((-(-count // BLOCK) * BLOCK, columns), rows.dtype)
    full[:count] = rows
    return np.ascontiguousarray(full.reshape(-1, BLOCK, columns).transpose(0, 2, 1))


def empty_tables() -> Tables:
    """The arrays of a kNN table without training prompts, whose mean label is zero everywhere."""
    return empty(ARRAYS)


def to_fixed_point(labels: NDArray[np.float64]) -> NDArray[np.int32]:
    """Labels (n, HEADS) in units of 1 / SCALE, clipped to what a sum has room for."""
    return np.rint(np.clip(labels, -_MAX_LABEL, _MAX_LABEL) * SCALE).astype(np.int32)
