"""A small random forest over the SHAPE measures, for interactions that a linear sum cannot express ("long, no digits").

All splits of all trees are evaluated in one pass, as QuickScorer does (Lucchese et al., SIGIR 2015): each tree has a
bit mask with one bit for each leaf, from left to right. A split that sends a text to the right clears the bits of the
leaves on its left; the lowest remaining bit is the text's leaf, which has a value for each head. Measures, thresholds
and values are whole numbers, whose sum does not depend on the order of addition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features import kernel
from breakeven.router.features.extract import SHAPE
from breakeven.router.model.heads import HEADS, Logits
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
    """The sum of the outputs of all trees, for each head."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """`arrays` holds what ARRAYS names. For each split, (LEAVES - 1, trees): `forest_measures`, the shape measure
        that it tests; `forest_thresholds`, above which it goes to the right; `forest_leaves`, the bit mask of the
        leaves that remain then. For each leaf, (trees, LEAVES, HEADS): `forest_values`, in units of 1 / SCALE.

        Raises ValueError where a split tests a measure that does not exist.
        """
        tables = [np.ascontiguousarray(arrays[name]) for name in ARRAYS]
        self._measures, self._thresholds, self._leaves, self._values = tables
        used = self._measures[self._thresholds < _NEVER]
        if used.size and not 0 <= used.min() <= used.max() < len(SHAPE):
            raise ValueError("a tree of the forest tests a shape measure that does not exist")

    def __call__(self, shape: NDArray[np.int64]) -> Logits:
        """The sums over the trees for the shape measures (len(SHAPE),) of one text, in units of 1 / SHAPE_UNIT."""
        student, teacher = kernel.forest_sums(shape, self._measures, self._thresholds, self._leaves, self._values)
        return Logits(student / SCALE, teacher / SCALE)

    def scaled_tables(self, factors: NDArray[np.float64] | float = 1.0, source: Sequence[int] = (0, 1)) -> Tables:
        """The arrays, with the leaf values of each head taken from the head `source` (HEADS,) of this forest, and
        multiplied by `factors` (HEADS,).

        Of more than TREES trees, a random TREES are kept and scaled up to stand for all: a router that is trained again
        and again with its predecessor as prior does not grow.
        """
        count = len(self._values)
        taken = np.sort(np.random.default_rng(count).choice(count, min(count, TREES), replace=False))
        values = np.rint(
            self._values[taken][..., list(source)] * (np.asarray(factors) * count / max(1, len(taken)))
        ).astype(np.int64)
        parts = (self._measures[:, taken], self._thresholds[:, taken], self._leaves[:, taken], values)
        return dict(zip(ARRAYS, parts, strict=True))


def empty_tables() -> Tables:
    """The arrays of a forest without trees, whose sum is zero."""
    return empty(ARRAYS)


def concatenate(one: Tables, other: Tables) -> Tables:
    """The arrays of a forest with the trees of both."""
    return {name: np.concatenate([one[name], other[name]], axis=0 if name == "forest_values" else 1) for name in ARRAYS}


def from_trees(trees: Sequence[Any], factors: NDArray[np.float64]) -> Tables:
    """The arrays of scikit-learn trees, whose mean output is multiplied by `factors` (HEADS,).

    `trees` are the `tree_` of estimators whose first HEADS outputs are used, fitted on shape measures in units of
    1 / SHAPE_UNIT.
    """
    found = empty_tables()
    parts = [_one(tree, factors / len(trees)) for tree in trees]
    return {
        name: np.stack([part[name] for part in parts], axis=0 if name == "forest_values" else 1) if parts else empty
        for name, empty in found.items()
    }


def _one(tree: Any, factors: NDArray[np.float64]) -> Tables:
    """The arrays of one tree, without the dimension of trees."""
    measures = np.zeros(LEAVES - 1, dtype=np.int64)
    thresholds = np.full(LEAVES - 1, _NEVER)
    leaves = np.full(LEAVES - 1, -1)
    values = np.zeros((LEAVES, HEADS), dtype=np.int64)
    split, leaf = 0, 0

    def walk(node: int) -> None:
        nonlocal split, leaf
        if tree.children_left[node] < 0:
            values[leaf] = np.rint(tree.value[node].ravel()[:HEADS] * factors * SCALE)
            leaf += 1
            return
        own, split = split, split + 1
        measures[own] = tree.feature[node]
        # Measures are whole numbers: exceeding the threshold and exceeding its whole part are the same.
        thresholds[own] = int(np.floor(tree.threshold[node]))
        before = leaf
        walk(tree.children_left[node])
        leaves[own] = ~((1 << leaf) - (1 << before))
        walk(tree.children_right[node])

    walk(0)
    return dict(zip(ARRAYS, (measures, thresholds, leaves, values), strict=True))
