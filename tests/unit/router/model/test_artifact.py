"""Artifacts on disk: changed, truncated and incompatible ones are rejected with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from breakeven.router.model import artifact
from breakeven.router.model.artifact import ArtifactError, load
from breakeven.router.outcomes import OutcomeRow
from breakeven.router.training.train import train
from tests.unit.router.conftest import make_rows


@pytest.fixture(scope="module")
def rows() -> list[OutcomeRow]:
    return [
        OutcomeRow(r["id"], r["prompt"], r["student_score"], r["teacher_score"], r["category"], r["split"], r)
        for r in make_rows(120)
    ]


@pytest.fixture
def folder(tmp_path: Path, rows: list[OutcomeRow]) -> Path:
    train(rows, tmp_path / "art", sources=["synthetic.jsonl"])
    return tmp_path / "art"


def test_a_written_artifact_loads_with_the_same_scores(folder: Path, rows: list[OutcomeRow]) -> None:
    loaded = load(folder)
    assert loaded.metadata["rows"] == 120
    assert loaded.metadata["sources"] == ["synthetic.jsonl"]
    assert len(loaded.hash) == 12
    assert loaded.hash in (folder / "MODEL_CARD.md").read_text()
    assert {path.name for path in folder.iterdir()} == {"weights.npz", "metadata.json", "MODEL_CARD.md"}
    again = load(folder)
    assert [again.difficulty.score(r.text) for r in rows] == [loaded.difficulty.score(r.text) for r in rows]


def test_an_artifact_is_replaced_and_other_folders_are_left_alone(folder: Path, rows: list[OutcomeRow]) -> None:
    before = load(folder).hash
    assert train(rows[:80], folder, sources=["fewer"]) != before
    assert load(folder).metadata["rows"] == 80
    assert [path.name for path in folder.parent.iterdir()] == ["art"]
    other = folder.parent / "other"
    other.mkdir()
    (other / "precious.txt").write_text("x")
    with pytest.raises(FileExistsError):
        train(rows, other, sources=["s"])
    assert [path.name for path in other.iterdir()] == ["precious.txt"]


def test_changed_weights_do_not_load(folder: Path) -> None:
    path = folder / "weights.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="does not match its hash"):
        load(folder)


def test_changed_metadata_does_not_load(folder: Path) -> None:
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | {"teacher_bias": metadata["teacher_bias"] + 1}))
    with pytest.raises(ArtifactError, match="does not match its hash"):
        load(folder)


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_truncated_weights_do_not_load(folder: Path, size: int) -> None:
    path = folder / "weights.npz"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArtifactError, match="does not match its hash"):
        load(folder)


@pytest.mark.parametrize("key", ["format", "features"])
def test_an_artifact_of_another_version_does_not_load(folder: Path, key: str) -> None:
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | {key: 99}))
    with pytest.raises(ArtifactError, match="another version of Breakeven; train it again"):
        load(folder)


def test_weights_that_are_not_an_archive_do_not_load(folder: Path) -> None:
    metadata = json.loads((folder / "metadata.json").read_text())
    for weights in (b"no zip at all", b""):
        digest = artifact._hash(weights, metadata)
        (folder / "weights.npz").write_bytes(weights)
        (folder / "metadata.json").write_text(json.dumps(metadata | {"hash": digest}))
        with pytest.raises(ArtifactError, match="no archive of tables"):
            load(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("novelty_texts", lambda array: array + 60_000),
        ("novelty_ends", lambda array: array[::-1].copy()),
        ("novelty_norms", lambda array: array[:-1]),
        ("novelty_places", lambda array: array + 400_000),
        ("forest_measures", lambda array: array + 18),
        ("forest_values", lambda array: array[..., :1]),
        ("votes_opinions", lambda array: array[:, 0]),
        ("weighted", lambda array: array[:, :1]),
        ("shape", lambda array: array[0]),
    ],
)
def test_inconsistent_tables_do_not_load(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with np.load(folder / "weights.npz") as arrays:
        changed = {**arrays, name: change(arrays[name]).astype(arrays[name].dtype)}
    artifact.write(folder, changed, json.loads((folder / "metadata.json").read_text()), "")
    with pytest.raises(ArtifactError, match="train it again"):
        load(folder)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_without_an_artifact_does_not_load(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "metadata.json").write_text(content)
        (tmp_path / "weights.npz").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"is not an artifact|another version"):
        load(tmp_path)


def test_the_shipped_artifact_is_small_and_has_a_card_without_research_only_data() -> None:
    loaded = load()
    assert sum(path.stat().st_size for path in artifact.SHIPPED.iterdir()) <= 10e6
    card = (artifact.SHIPPED / "MODEL_CARD.md").read_text()
    assert loaded.hash in card
    # AlpacaEval's prompts are licensed for research only: nothing of them may be in what ships.
    assert not any("alpaca" in source.lower() for source in loaded.metadata["sources"])
