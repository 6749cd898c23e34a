"""What the training prompts say that are about the same: the votes of all of them, the nearest counting most.

A linear sum cannot say "questions like these, of which the student got most wrong" where no single word says it. So
words and pairs of words place each text in a latent semantic space of DIMENSIONS dimensions (Deerwester et al., 1990,
"Indexing by latent semantic analysis"), and each training prompt there has an opinion for each head, how much more
that model failed on it than on average. A text gets their mean, weighted by the 16th power of the cosine (Nadaraya
and Watson, 1964), with one vote more that has no opinion: far from all of them the votes say nothing. Points and
opinions are whole numbers, whose sums do not depend on the order of addition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features import kernel
from breakeven.router.features.extract import Features
from breakeven.router.features.kernel_numpy import BLOCK, DIMENSIONS, HALF, LENGTH, ONE
from breakeven.router.model.heads import HEADS, Margins
from breakeven.router.model.tables import Shapes, Tables, empty

# How many prompts vote at most, and how many words and pairs have a place in the space: a decision costs time for each.
MOST = 1 << 14
TERMS = 1 << 14
# Opinions in whole numbers. The largest leaves room for the sum of MOST of them.
SCALE = float(1 << 22)
_LARGEST = 500.0

ARRAYS: Shapes = {
    "space_terms": ((None,), "uint32"),
    "space_table": ((None, DIMENSIONS), "int16"),
    "votes_points": ((None, DIMENSIONS), "int16"),
    "votes_opinions": ((None, HEADS), "int32"),
}

Points = NDArray[np.int16]


class Space:
    """Where a text is: the sum of what `space_table` has for its terms, at a length of LENGTH."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """`space_terms` (n,): places of words and pairs; `space_table` (n, DIMENSIONS). Raises ValueError where they
        contradict each other: compiled code follows what they say.
        """
        terms, table = arrays["space_terms"], arrays["space_table"]
        if len(terms) != len(table) or len(terms) > TERMS or (len(terms) and int(terms.max()) >= HALF):
            raise ValueError("the terms of the latent space contradict each other")
        # The row of each place; the first row, of zeros, is for all places that are no terms.
        self._row_of = np.zeros(HALF, dtype=np.uint16)
        self._row_of[terms] = np.arange(1, len(terms) + 1)
        self._table = np.concatenate([np.zeros((1, DIMENSIONS), np.int16), table])

    def of(self, features: Features) -> bytes:
        """The point of a text, DIMENSIONS numbers of int16."""
        found: bytes = kernel.locate(features.places[: features.words], self._row_of, self._table)
        return found

    def points(self, features: Sequence[Features]) -> Points:
        """(n, DIMENSIONS): those of many."""
        found = b"".join(self.of(item) for item in features)
        return np.frombuffer(found, dtype=np.int16).reshape(len(features), DIMENSIONS)


class Votes:
    """The mean opinion of the training prompts around a point."""

    def __init__(self, points: Points, opinions: NDArray[np.int32]) -> None:
        """`points` (n, DIMENSIONS) of the prompts, and their `opinions` (n, HEADS) in 1 / SCALE. Raises ValueError
        where they do not belong together or are out of range.
        """
        lengths = (points.astype(np.int64) ** 2).sum(axis=1)
        if len(points) != len(opinions) or len(points) > MOST or (lengths > 2 * LENGTH**2).any():
            raise ValueError("the points and opinions of the votes contradict each other")
        self._points, self._opinions = _blocks(points), _blocks(opinions)

    def __call__(self, point: bytes) -> Margins:
        """For a point of a Space."""
        student, teacher, weight = kernel.poll(point, self._points, self._opinions)
        # All in whole numbers; the sums of what was said have lost their last bits, so that they fit.
        every = weight + ONE
        return Margins(student / every * (65536.0 / SCALE), teacher / every * (65536.0 / SCALE))


def _blocks(rows: NDArray[Any]) -> NDArray[Any]:
    """(blocks, columns, BLOCK) of (n, columns): BLOCK rows side by side, the last ones filled up with zeros."""
    count, columns = rows.shape
    full = np.zeros((-(-count // BLOCK) * BLOCK, columns), rows.dtype)
    full[:count] = rows
    return np.ascontiguousarray(full.reshape(-1, BLOCK, columns).transpose(0, 2, 1))


def none() -> Tables:
    """The arrays where nobody votes, whose sum is zero."""
    return empty(ARRAYS)


def whole(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """Opinions (n, HEADS) in 1 / SCALE."""
    return np.rint(np.clip(values, -_LARGEST, _LARGEST) * SCALE).astype(np.int32)
