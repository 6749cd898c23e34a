"""A small artifact that has everything an artifact can have, made without training, and the hash-correct writing of bad
ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from breakeven.router.features.extract import SHAPE, extract
from breakeven.router.features.kernel_numpy import BUCKETS, DIMENSIONS, WORD_BUCKETS
from breakeven.router.model import artifact
from breakeven.router.model.forest import LEAVES
from breakeven.router.model.heads import HEADS
from breakeven.router.training.novelty import fit_novelty

_TREES, _PROMPTS, _TERMS = 3, 70, 200
_WORDS = "what is the sum of two and three when a small red fox jumps over lazy dogs in spring".split()  # noqa: SIM905

Arrays = dict[str, Any]


def small_artifact() -> tuple[Arrays, dict[str, Any]]:
    """Valid arrays with a forest, a latent space, a kNN table and an index, and their metadata."""
    rng = np.random.default_rng(7)
    texts = [" ".join(rng.choice(_WORDS, 9)) + f" {number}?" for number in range(60)]
    tables = fit_novelty([extract(text) for text in texts]).tables
    weighted = np.zeros((BUCKETS, HEADS), np.int32)
    weighted[:: 1 << 9] = rng.integers(-(1 << 24), 1 << 24, (BUCKETS >> 9, HEADS))
    points = rng.normal(size=(_PROMPTS, DIMENSIONS))
    points *= 4000 / np.linalg.norm(points, axis=1, keepdims=True)
    # A split of each tree for each leaf but the last: those that go right lose that leaf.
    leaves = np.repeat(~(1 << np.arange(LEAVES - 1, dtype=np.int64))[:, None], _TREES, axis=1)
    arrays = {
        "weighted": weighted,
        "squared": np.full(BUCKETS, 1 << 16, np.int32),
        "shape": rng.normal(size=(HEADS, len(SHAPE))),
        "mean": rng.normal(size=len(SHAPE)),
        "ranks": np.zeros(0),
        "forest_measures": rng.integers(0, len(SHAPE), leaves.shape),
        "forest_thresholds": rng.integers(0, 1 << 18, leaves.shape),
        "forest_leaves": leaves,
        "forest_values": rng.integers(-(1 << 24), 1 << 24, (_TREES, LEAVES, HEADS)),
        "space_terms": rng.choice(WORD_BUCKETS, _TERMS, replace=False).astype(np.uint32),
        "space_table": rng.integers(-9000, 9000, (_TERMS, DIMENSIONS)).astype(np.int16),
        "votes_points": points.astype(np.int16),
        "votes_opinions": rng.integers(-(1 << 30), 1 << 30, (_PROMPTS, HEADS)).astype(np.int32),
        **tables,
    }
    numbers = {"slope": 1.0, "bend": 0.1, "intercept": 0.0, "middle": 0.0, "spread": 1.0}
    biases = {"student_bias": 0.1, "teacher_bias": -0.1, "novel_worse": 0.5, "noise": 0.1}
    return arrays, {**numbers, **biases, "rows": 60, "sources": ["none"]}


def write_raw(folder: Path, weights: bytes, metadata: dict[str, Any]) -> None:
    """Write an artifact with these bytes as its weights, and the hash that fits them."""
    folder.mkdir(exist_ok=True)
    full = {"format": artifact.FORMAT, "features": artifact.VERSION, **metadata}
    full["hash"] = artifact._hash(weights, full)
    (folder / "weights.npz").write_bytes(weights)
    (folder / "metadata.json").write_text(json.dumps(full))
