"""Runs seeded mutations of tables, texts and whole artifacts through a kernel that was built with sanitizers.

`python -m tests.attack.kernel_fuzz KERNEL SECONDS SEED` in a process of its own, since a fault ends it: with the
address and the undefined-behaviour sanitizer preloaded, which `tests.attack.artifacts` does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

_TEXTS = ("", "a", "What is 2 + 2?", "the quick brown fox " * 30, "Grüße 日本 x_1 $a\\b$\n" * 9, "A) 1\nB) 2\nC) 3")
# Calls and texts for each artifact, which takes as long as all of them.
_ROUND = 200
# Numbers at which sizes, signs and types end.
_EDGES = (0, 1, 2, 3, 63, 64, 1023, 4095, 65535, 65536, 1 << 20, 1 << 29, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)


def load_kernel(path: Path) -> ModuleType:
    """The compiled kernel at this path, under the name under which the product imports it."""
    name = "breakeven.router.features._kernel"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def mutated(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """A copy of an array with one thing wrong with it, of the same type."""
    found = array.copy()
    kind = rng.randrange(7)
    if kind == 0 or not found.size:
        return found.ravel()[: rng.randrange(found.size + 1)].copy()
    if kind == 1:
        return np.concatenate([found.ravel(), found.ravel()[: rng.randrange(found.size + 1)]])
    flat = found.ravel()
    at = rng.randrange(flat.size)
    if kind == 2:
        flat[at : at + rng.randrange(1, 2000)] = flat[at]
    elif kind == 3:
        flat[at:] = flat[at:][::-1].copy()
    elif kind == 4 and found.dtype.kind == "f":
        flat[at] = rng.choice((float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e308, 1e-320))
    else:
        edge = rng.choice(_EDGES) * rng.choice((1, -1))
        flat[at] = np.array([edge], dtype=np.int64).astype(found.dtype)[0]
    return flat.reshape(found.shape)


def calls(kernel: ModuleType, artifact: Any, trained: Any) -> list[tuple[Callable[..., Any], list[Any]]]:
    """Each function of the kernel with valid arguments."""
    from breakeven.router.features.extract import extract

    features = extract(_TEXTS[3])
    novelty, buckets = artifact.novelty, features.buckets
    forest, space, knn = trained.forest, trained._space, trained._knn
    words = np.ascontiguousarray(buckets[: features.word_end])
    point = np.frombuffer(kernel.latent_point(words, space._row_of, space._table), np.int16)
    tables = (forest._measures, forest._thresholds, forest._leaves, forest._values)
    return [
        (kernel.sum_weights, [buckets, features.word_end, artifact.difficulty._table]),
        (kernel.forest_sums, [features.shape, *tables]),
        (kernel.mahalanobis, [features.shape, novelty._mean, novelty._scale, novelty._whiten]),
        (kernel.nearest, [buckets[: features.sample_end], features.word_end, novelty._index, 1500, 10]),
        (kernel.latent_point, [words, space._row_of, space._table]),
        (kernel.knn_sums, [point, knn._points, knn._labels]),
    ]


def fuzz_call(function: Callable[..., Any], arguments: list[Any], rng: random.Random) -> None:
    """Call it with one or more of its tables mutated. Only ValueError, MemoryError and OverflowError may come of it."""
    given = list(arguments)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(given))
        one = given[at]
        if isinstance(one, tuple):
            inner = list(one)
            which = rng.randrange(len(inner))
            inner[which] = mutated(inner[which], rng)
            given[at] = tuple(inner)
        elif isinstance(one, np.ndarray):
            given[at] = mutated(one, rng)
        else:
            given[at] = rng.choice((*_EDGES, *(-edge for edge in _EDGES)))
    with contextlib.suppress(ValueError, MemoryError, OverflowError):
        function(*given)


def fuzz_texts(kernel: ModuleType, rng: random.Random) -> None:
    """Random bytes through what reads texts."""
    data = rng.randbytes(rng.choice((0, 1, 4, 5, 8, 100, 10_000)))
    if rng.random() < 0.5:
        data = bytes(byte & 0x7F for byte in data).replace(b"\0", b" ")
    kernel.ngrams(data)
    kernel.count_characters(data)


def fuzz_artifact(folder: Path, arrays: dict[str, Any], metadata: dict[str, Any], rng: random.Random) -> bool:
    """Whether an artifact with mutated tables, with the hash that fits it, loads; then texts are scored with it."""
    from breakeven.router.model import artifact

    changed = dict(arrays)
    for name in rng.sample(sorted(arrays), rng.randrange(1, 3)):
        changed[name] = mutated(arrays[name], rng)
    artifact.write(folder, changed, metadata, "")
    try:
        loaded = artifact.load(folder)
    except artifact.ArtifactError:
        return False
    for text in _TEXTS:
        found = loaded.assess(text)
        assert 0.0 <= found.score <= 1.0, found
        assert found.novelty is not None
        assert 0.0 <= found.novelty < 1.0, found
        loaded.difficulty.explain(text)
    return True


def main(arguments: list[str]) -> int:
    """Fuzz until the seconds are over and print, as JSON, how often each way was taken."""
    path, seconds, seed = Path(arguments[0]), float(arguments[1]), int(arguments[2])
    kernel, rng = load_kernel(path), random.Random(seed)
    np.seterr(all="ignore")
    # Only now: they take the kernel that was loaded.
    from breakeven.router.features import kernel as chosen
    from breakeven.router.model import artifact
    from tests.attack.small_artifact import small_artifact

    assert chosen.ngrams is kernel.ngrams
    arrays, metadata = small_artifact()
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder) / "trained"
        artifact.write(trained, arrays, metadata, "")
        known = artifact.load(trained)
        every = calls(kernel, known, known.difficulty)
        counts = {"calls": 0, "texts": 0, "artifacts": 0, "loaded": 0}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(_ROUND):
                function, given = rng.choice(every)
                fuzz_call(function, given, rng)
                fuzz_texts(kernel, rng)
            counts["calls"] += _ROUND
            counts["texts"] += _ROUND
            counts["loaded"] += fuzz_artifact(Path(folder) / "mutated", arrays, metadata, rng)
            counts["artifacts"] += 1
    print(json.dumps(counts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
