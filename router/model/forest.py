"""A small forest over the SHAPE measures: what a sum of single measures cannot say, such as "long and no digits".

All splits of all trees are looked at in one step, as QuickScorer does (Lucchese et al., SIGIR 2015): each tree has a
word with one bit for each of its leaves, from left to right. A split that sends a text to the right takes the bits of
the leaves on its left away; the lowest bit that is left is the leaf, which has a value for each head. Measures,
thresholds and values are whole numbers, whose sum does not depend on the order of addition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features import kernel
from breakeven.router.features.extract import SHAPE
from breakeven.router.model.heads import HEADS, Margins
from breakeven.router.model.tables import Shapes, Tables, empty

TREES = 60
LEAVES = 32
SCALE = float(1 << 24)
_NEVER = np.iinfo(np.int64).max

ARRAYS: Shapes = {
    "forest_measures": ((LEAVES - 1, None), "int64"),
    "forest_thresholds": ((LEAVES - 1, None), "int64"),
    "forest_leaves": ((LEAVES - 1, None), "int64"),
    "forest_values": ((None, LEAVES, HEADS), "int64"),
}


class Forest:
    """The sum of its trees."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """What ARRAYS names.

        Of each split, (LEAVES - 1, trees): which measure it looks at, above which `thresholds` it goes to the right,
        and which leaves are then left as bits; the `values` of the leaves, (trees, LEAVES, HEADS), in 1 / SCALE.
        """
        tables = [np.ascontiguousarray(arrays[name]) for name in ARRAYS]
        self._measures, self._thresholds, self._leaves, self._values = tables
        used = self._measures[self._thresholds < _NEVER]
        if used.size and not 0 <= used.min() <= used.max() < len(SHAPE):
            raise ValueError("a tree of the forest looks at a measure that there is not")

    def __call__(self, shape: NDArray[np.int64]) -> Margins:
        """The sums over the trees for the SHAPE measures of one text in 1 / UNIT."""
        student, teacher = kernel.vote(shape, self._measures, self._thresholds, self._leaves, self._values)
        return Margins(student / SCALE, teacher / SCALE)

    def tables(self, factors: NDArray[np.float64] | float = 1.0) -> Tables:
        """The arrays, with the values of each head `factors` (HEADS,) times as large.

        Of more than TREES trees as many, drawn, stand for all: a router that learns from the one before it, again and
        again, does not grow.
        """
        count = len(self._values)
        taken = np.sort(np.random.default_rng(count).choice(count, min(count, TREES), replace=False))
        values = np.rint(self._values[taken] * (np.asarray(factors) * count / max(1, len(taken)))).astype(np.int64)
        parts = (self._measures[:, taken], self._thresholds[:, taken], self._leaves[:, taken], values)
        return dict(zip(ARRAYS, parts, strict=True))


def none() -> Tables:
    """The arrays of a forest without trees, whose sum is zero."""
    return empty(ARRAYS)


def joined(one: Tables, other: Tables) -> Tables:
    """The arrays of both forests' trees together."""
    return {name: np.concatenate([one[name], other[name]], axis=0 if name == "forest_values" else 1) for name in ARRAYS}


def tables(trees: Sequence[Any], factors: NDArray[np.float64]) -> Tables:
    """The arrays of scikit-learn's trees (`tree_` of estimators with HEADS outputs fitted on measures in 1 / UNIT):
    their mean, times the `factors` (HEADS,).
    """
    found = none()
    parts = [_one(tree, factors / len(trees)) for tree in trees]
    return {
        name: np.stack([part[name] for part in parts], axis=0 if name == "forest_values" else 1) if parts else empty
        for name, empty in found.items()
    }


def _one(tree: Any, factors: NDArray[np.float64]) -> Tables:
    measures = np.zeros(LEAVES - 1, dtype=np.int64)
    thresholds = np.full(LEAVES - 1, _NEVER)
    leaves = np.full(LEAVES - 1, -1)
    values = np.zeros((LEAVES, HEADS), dtype=np.int64)
    split, leaf = 0, 0

    def walk(node: int) -> None:
        nonlocal split, leaf
        if tree.children_left[node] < 0:
            values[leaf] = np.rint(tree.value[node].ravel() * factors * SCALE)
            leaf += 1
            return
        own, split = split, split + 1
        measures[own] = tree.feature[node]
        # Measures are whole: above the threshold and above its whole part are the same.
        thresholds[own] = int(np.floor(tree.threshold[node]))
        before = leaf
        walk(tree.children_left[node])
        leaves[own] = ~((1 << leaf) - (1 << before))
        walk(tree.children_right[node])

    walk(0)
    return dict(zip(ARRAYS, (measures, thresholds, leaves, values), strict=True))
