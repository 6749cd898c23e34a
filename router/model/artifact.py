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
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from breakeven.router.features.extract import VERSION, extract
from breakeven.router.files import read_file
from breakeven.router.model.checks import check_tables, numbers
from breakeven.router.model.difficulty import ARRAYS, NUMBERS, Difficulty
from breakeven.router.model.novelty import ARRAYS as NOVELTY_ARRAYS
from breakeven.router.model.novelty import Novelty, shrink
from breakeven.router.model.tables import Shapes
from breakeven.router.model.unpack import MAX_BYTES, unpack
from breakeven.router.policy import Assessment

SHIPPED = Path(__file__).parents[1] / "shipped"
FORMAT = 8
_MAX_METADATA = 1 << 24
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

    Raises ArtifactError, which names what is at fault, where it is missing, from another version, damaged, or where a
    text could have no score.
    """
    folder = SHIPPED if path is None else path
    weights, metadata = _read(folder, "weights.npz", MAX_BYTES), _metadata(folder)
    if metadata.get("format") != FORMAT or metadata.get("features") != VERSION:
        raise ArtifactError(f"{folder} was made by another version of Breakeven; train it again")
    digest = _hash(weights, metadata)
    if digest != metadata.get("hash"):
        raise ArtifactError(
            f"{folder} does not match its hash ({str(metadata.get('hash'))[:20]} is written, {digest} was computed); "
            "it was changed or copied in part: copy it again or train it again"
        )
    at = folder / "metadata.json"
    try:
        known = numbers(metadata, NUMBERS, _BASE, _NOISE)
        if not isinstance(metadata.get(STUDENT), str | None):
            raise ValueError(f"{STUDENT} must be the name of a model")
        at = folder / "weights.npz"
        tables = unpack(weights, _EVERY)
        check_tables(tables)
        found = Artifact(Difficulty(tables, known), Novelty(tables), digest, metadata)
        _try_out(found)
    except (ValueError, IndexError) as error:
        raise ArtifactError(f"{at}: {error}; train it again, or take one that you know") from None
    return found


# Short and long, words and code, other scripts, nothing at all.
_TRIED = (
    "",
    "a",
    "What is the capital of France?",
    "def f(x): return x * 2\n" * 40,
    "Grüße 日本 0123 \ud800",
    "x " * 5000,
)


def _try_out(artifact: Artifact) -> None:
    """Raise ValueError where a text has no score in [0, 1], or no novelty."""
    for text in _TRIED:
        found = artifact.assess(text)
        if not (0.0 <= found.score <= 1.0 and found.novelty is not None and 0.0 <= found.novelty < 1.0):
            raise ValueError("its tables give a text a score that is not from 0 to 1")


def _read(folder: Path, name: str, most: int) -> bytes:
    """The bytes of a file. Raises ArtifactError where it cannot be read, is no file, or has more than `most` bytes."""
    try:
        return read_file(folder / name, most)
    except (OSError, ValueError) as error:
        said = (error.strerror or "an error") if isinstance(error, OSError) else str(error)
        raise ArtifactError(f"{folder} is not an artifact ({name}: {said}); make one with `breakeven train`") from None


def _metadata(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read(folder, "metadata.json", _MAX_METADATA).decode("utf-8"))
    except ArtifactError:
        raise
    except (ValueError, RecursionError):
        said = "metadata.json is not JSON"
        raise ArtifactError(f"{folder} is not an artifact ({said}); make one with `breakeven train`") from None
    if not isinstance(found, dict):
        raise ArtifactError(f"{folder} was made by another version of Breakeven; train it again")
    return found


def written_hash(folder: Path) -> str | None:
    """The hash that the metadata of a directory states, without reading the weights; None where it has none."""
    try:
        return str(_metadata(folder)["hash"])
    except (ArtifactError, LookupError):
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
