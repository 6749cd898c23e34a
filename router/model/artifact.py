"""The router's artifact on disk: a directory with weights.npz (plain arrays, never pickle), metadata.json and a model
card.

Its hash identifies it in response headers, the ledger and stored thresholds.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from breakeven.router.features.extract import VERSION, extract
from breakeven.router.model.difficulty import ARRAYS, NUMBERS, Difficulty
from breakeven.router.model.novelty import ARRAYS as NOVELTY_ARRAYS
from breakeven.router.model.novelty import Novelty, shrink
from breakeven.router.model.tables import Shapes
from breakeven.router.policy import Assessment

SHIPPED = Path(__file__).parents[1] / "shipped"
FORMAT = 8
_EVERY: Shapes = {**ARRAYS, **NOVELTY_ARRAYS}
# Keys of the metadata: how often the student was worse on novel texts (the base rate to which their scores are shrunk),
# and the standard error of a score.
_BASE, _NOISE = "novel_worse", "noise"
# And the name under which the student was served whose answers it learned from, where the rows had it.
STUDENT = "student"


class ArtifactError(ValueError):
    """An artifact cannot be loaded; the message says why and how to fix it."""


class Artifact(NamedTuple):
    """A loaded artifact: classifier, novelty, 12 hex digits of the hash, and the content of metadata.json."""

    difficulty: Difficulty
    novelty: Novelty
    hash: str
    metadata: dict[str, Any]

    @property
    def noise(self) -> float:
        """The standard error of a score: the standard deviation over other samples of training rows."""
        return float(self.metadata[_NOISE])

    def check_student(self, name: str) -> None:
        """Raise ArtifactError where this router knows another student than the one that is served as `name`.

        An artifact whose rows did not name their student fits any.
        """
        known = self.metadata.get(STUDENT)
        if known is not None and known != name:
            raise ArtifactError(
                f"this router learned from the answers of {known!r}, and student.model is {name!r}: evaluate that "
                "student and train a router for it, or serve the same student under its old name"
            )

    def assess(self, text: str) -> Assessment:
        """The score in [0, 1] and the novelty in [0, 1) of a text. Never raises for a string."""
        features = extract(text)
        novelty = self.novelty.quantile(features)
        score = self.difficulty.calibrate(self.difficulty.gain(features))
        if self.difficulty.ranks:
            return Assessment(score, novelty)
        return Assessment(shrink(score, novelty, self.metadata[_BASE]), novelty)


def load(path: Path | None = None) -> Artifact:
    """Read and check the artifact in the directory `path`, by default the one that ships with the package.

    Raises ArtifactError where it is missing, from another version, damaged or inconsistent.
    """
    folder = SHIPPED if path is None else path
    try:
        weights = (folder / "weights.npz").read_bytes()
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "not JSON"
        raise ArtifactError(f"{folder} is not an artifact ({said}); make one with `breakeven train`") from None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT or metadata.get("features") != VERSION:
        raise ArtifactError(f"{folder} was made by another version of Breakeven; train it again")
    digest = _hash(weights, metadata)
    if digest != metadata.get("hash"):
        raise ArtifactError(
            f"{folder} does not match its hash ({metadata.get('hash')} is written, {digest} was computed); "
            "it was changed or copied in part: copy it again or train it again"
        )
    try:
        with np.load(io.BytesIO(weights), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in _EVERY}
        numbers = {name: float(metadata[name]) for name in (*NUMBERS, _BASE, _NOISE)}
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile):
        raise ArtifactError(f"{folder}/weights.npz cannot be read; train it again") from None
    for name, (shape, kind) in _EVERY.items():
        array = found[name]
        fits = array.ndim == len(shape) and all(w is None or w == s for w, s in zip(shape, array.shape, strict=True))
        if not fits or array.dtype != kind:
            raise ArtifactError(f"{folder}/weights.npz: {name} has the wrong shape; train it again")
    try:
        return Artifact(Difficulty(found, numbers), Novelty(found), digest, metadata)
    except (ValueError, IndexError) as error:
        raise ArtifactError(f"{folder}/weights.npz: {error}; train it again") from None


def written_hash(folder: Path) -> str | None:
    """The hash that the metadata of a directory states, without reading the weights; None where it has none."""
    try:
        return str(json.loads((folder / "metadata.json").read_text(encoding="utf-8"))["hash"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def write(folder: Path, arrays: dict[str, Any], metadata: dict[str, Any], card: str) -> str:
    """Write an artifact to a directory atomically, replacing an older one. Returns its hash.

    `arrays` and `metadata` must hold what `load` reads; `{hash}` in the `card` is replaced. Raises OSError.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    weights = buffer.getvalue()
    metadata = {"format": FORMAT, "features": VERSION, **metadata}
    metadata["hash"] = _hash(weights, metadata)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        (fresh / "weights.npz").write_bytes(weights)
        (fresh / "metadata.json").write_text(json.dumps(metadata, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (fresh / "MODEL_CARD.md").write_text(card.replace("{hash}", metadata["hash"]), encoding="utf-8")
        fresh.chmod(0o755)
        replace(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return str(metadata["hash"])


def replace(fresh: Path, folder: Path) -> None:
    """Move the directory `fresh` to `folder`, replacing an artifact there.

    Raises FileExistsError where `folder` holds anything else, and OSError.
    """
    if not folder.exists():
        fresh.rename(folder)
        return
    if any(folder.iterdir()) and not (folder / "metadata.json").exists():
        raise FileExistsError(17, "the directory is not empty and holds no artifact", str(folder))
    old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
    folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old)


def _hash(weights: bytes, metadata: dict[str, Any]) -> str:
    rest = {key: value for key, value in metadata.items() if key != "hash"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(hashlib.sha256(weights).digest() + canonical).hexdigest()[:12]
