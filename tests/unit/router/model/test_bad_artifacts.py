"""Artifacts from strangers: each bad one is refused in a line that names what is wrong, and never unpickled."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breakeven.router.features import kernel, kernel_numpy
from breakeven.router.features.extract import extract
from breakeven.router.model.artifact import ArtifactError, load
from tests.attack.bad_artifacts import NAMES, packed, write_bad
from tests.attack.small_artifact import small_artifact, write_raw

Good = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def good() -> Good:
    return small_artifact()


def test_the_good_one_loads_and_scores(tmp_path: Path, good: Good) -> None:
    write_raw(tmp_path / "art", packed(good[0]), good[1])
    loaded = load(tmp_path / "art")
    assert 0.0 < loaded.assess("what is the sum of two and three?").score < 1.0
    assert loaded.difficulty.explain("what is the sum of two and three?")


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_one_is_refused_by_name(tmp_path: Path, good: Good, name: str) -> None:
    named = write_bad(tmp_path / "art", name, *good)
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError) as refused:
            load(tmp_path / "art")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    said = str(refused.value)
    assert named in said.replace(str(tmp_path), "")
    assert said.isprintable()
    assert len(said) < 600
    # What the file declares is not what it gets.
    assert most < 100e6


def test_an_artifact_of_pipes_is_refused(tmp_path: Path, good: Good) -> None:
    write_raw(tmp_path / "art", packed(good[0]), good[1])
    for name in ("weights.npz", "metadata.json"):
        (tmp_path / "art" / name).rename(tmp_path / name)
        os.mkfifo(tmp_path / "art" / name)
        with pytest.raises(ArtifactError, match=f"{name}: it is a pipe"):
            load(tmp_path / "art")
        (tmp_path / "art" / name).unlink()
        (tmp_path / name).rename(tmp_path / "art" / name)
    load(tmp_path / "art")


def test_the_kernel_itself_refuses_a_posting_list_with_a_text_twice(tmp_path: Path, good: Good) -> None:
    write_raw(tmp_path / "art", packed(good[0]), good[1])
    known = load(tmp_path / "art")
    features = extract("what is the sum of two and three when a red fox jumps")
    index = list(known.novelty._index)
    index[2] = np.zeros_like(index[2])
    args = (features.buckets[: features.sample_end], features.word_end, tuple(index), 1500, 10)
    kernel_numpy.nearest(*args)
    if kernel.COMPILED:
        with pytest.raises(ValueError, match="index"):
            kernel.nearest(*args)
