"""What the tables and numbers of an artifact must hold, so that every text has a score and a novelty.

An artifact may be a stranger's. Whatever passes here makes no step of a decision fail; the limits are far beyond what
`breakeven train` writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features.extract import SHAPE
from breakeven.router.features.kernel_numpy import IDF_BITS, SAMPLED_BUCKETS, WORD_BUCKETS
from breakeven.router.model.calibration import Calibration
from breakeven.router.model.forest import LEAVES
from breakeven.router.model.tables import Tables

# No logarithm of odds, measure or statistic comes near it.
_LARGEST = 1e9
_WHOLE = 1 << 40
_LEAST_SPREAD = 1e-12
# The least and the largest value of a table.
_RANGES: dict[str, tuple[float, float]] = {
    "squared": (0, 2**31 - 1),
    "shape": (-_LARGEST, _LARGEST),
    "mean": (-_LARGEST, _LARGEST),
    "ranks": (-_LARGEST, _LARGEST),
    "forest_measures": (0, len(SHAPE) - 1),
    "forest_values": (-_WHOLE, _WHOLE),
    "space_terms": (0, WORD_BUCKETS - 1),
    # No idf is zero, so that every text with a bucket has a length.
    "novelty_idf": (1, (1 << IDF_BITS) - 1),
    "novelty_places": (0, SAMPLED_BUCKETS - 1),
    "novelty_norms": (1, _LARGEST),
    "novelty_mean": (-_WHOLE, _WHOLE),
    "novelty_deviation": (1, _LARGEST),
    "novelty_whiten": (-_WHOLE, _WHOLE),
    "novelty_tables": (-_LARGEST, _LARGEST),
    "novelty_sums": (-_LARGEST, _LARGEST),
}
# The kernel counts the texts of the index in 16 bits, and a forest's sums have room for so many trees.
_MAX_TEXTS, _MAX_TREES = 1 << 16, 1 << 14
_LEAF_MASK = (1 << LEAVES) - 1


def check_tables(tables: Tables) -> None:
    """Raise ValueError, which names the table and what is wrong, where a decision could fail over one of them.

    `tables` have the shapes and types that an artifact's have.
    """
    for name, (low, high) in _RANGES.items():
        table = tables[name]
        # A minimum of numbers with a NaN among them is NaN, which no comparison holds for.
        if table.size and not (low <= table.min() and table.max() <= high):
            raise ValueError(f"{name} has a value that is not from {low:g} to {high:g}")
    for name in ("space_terms", "novelty_places"):
        if len(np.unique(tables[name])) != len(tables[name]):
            raise ValueError(f"{name} has a value twice")
    for name in ("novelty_tables", "novelty_sums"):
        if tables[name].shape[-1] == 0:
            raise ValueError(f"{name} is empty")
        if (np.diff(tables[name], axis=-1) < 0).any():
            raise ValueError(f"{name} is not in ascending order")
    _check_index(tables)
    _check_forest(tables["forest_leaves"], tables["forest_values"])


def _check_index(tables: Tables) -> None:
    """The posting lists: each of two texts or more, in ascending order, none twice."""
    texts, owners = len(tables["novelty_norms"]), tables["novelty_texts"]
    if not 0 < texts <= _MAX_TEXTS:
        raise ValueError(f"novelty_norms has {texts} texts, not from 1 to {_MAX_TEXTS}")
    ends = tables["novelty_ends"].astype(np.int64)
    if len(ends) != len(tables["novelty_places"]):
        raise ValueError("novelty_ends has another length than novelty_places")
    if (np.diff(ends, prepend=0) < 2).any():
        raise ValueError("novelty_ends has a posting list of fewer than two texts")
    if (int(ends[-1]) if len(ends) else 0) != len(owners):
        raise ValueError("novelty_ends does not end where novelty_texts does")
    if len(owners) and int(owners.max()) >= texts:
        raise ValueError("novelty_texts has a text that is not in novelty_norms")
    falls = np.diff(owners.astype(np.int64)) <= 0
    falls[ends[:-1] - 1] = False
    if falls.any():
        raise ValueError("novelty_texts has a posting list that is not in ascending order, or has a text twice")


def _check_forest(leaves: NDArray[np.int64], values: NDArray[np.int64]) -> None:
    """The leaves that each split removes are on one side of it, and a text that fails all splits still has a leaf."""
    if leaves.shape[1] != len(values) or len(values) > _MAX_TREES:
        raise ValueError(f"forest_values has {len(values)} trees, and forest_leaves {leaves.shape[1]}")
    removed = (~leaves & _LEAF_MASK).astype(np.int64)
    if leaves.size and ((leaves | _LEAF_MASK) != -1).any():
        raise ValueError("forest_leaves removes a leaf that does not exist")
    lowest = removed & -removed
    if (((removed + lowest) & removed) != 0).any():
        raise ValueError("forest_leaves has a split whose leaves are not adjacent")
    if (np.bitwise_or.reduce(removed, axis=0) == _LEAF_MASK).any():
        raise ValueError("forest_leaves has a tree in which a text can end at no leaf")
    for one in removed:
        common = one & removed
        if ((common != 0) & (common != one) & (common != removed)).any():
            raise ValueError("forest_leaves has splits that do not form a tree")


def numbers(metadata: Mapping[str, Any], names: Iterable[str], base: str, noise: str) -> dict[str, float]:
    """The numbers of metadata.json under these names, of which `base` is a share and `noise` is not negative.

    Raises ValueError, which names the key and what is wrong.
    """
    found = {name: _number(metadata, name) for name in (*names, base, noise)}
    if not 0.0 <= found[base] <= 1.0:
        raise ValueError(f"{base} must be from 0 to 1")
    if found[noise] < 0.0:
        raise ValueError(f"{noise} must not be negative")
    fitted = Calibration(*(found[name] for name in Calibration._fields))
    if fitted.spread < _LEAST_SPREAD:
        raise ValueError("spread must be positive")
    if min(fitted.slope, fitted.slope + fitted.bend) < 0.0:
        raise ValueError("slope, and slope + bend, must not be negative")
    return found


def _number(metadata: Mapping[str, Any], name: str) -> float:
    value = metadata.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number")
    # Also false for NaN; a whole number may have too many digits for a float.
    if not abs(value) <= _LARGEST or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number up to {_LARGEST:g}")
    return float(value)
