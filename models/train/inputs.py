"""What a training reads: the folders of models, tokenizers, and the hash of the data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from breakeven.models.data import hub
from breakeven.models.data.records import read_bytes
from breakeven.models.data.sources import files
from breakeven.models.errors import DistillError
from breakeven.models.train.settings import Settings


def fetched(settings: Settings) -> Settings:
    """The settings with the folders of models that are names on the hub. Raises DistillError where one is no model."""
    found: dict[str, Path | None] = {"student": settings.student, "teacher": settings.teacher}
    for name, given in found.items():
        folder = None if given is None else hub.model_folder(given)
        if folder is not None and not (folder / "config.json").is_file():
            raise DistillError(
                f"--{name} {given}: not a model directory (it must contain config.json and weights), nor owner/name "
                "of a model on the hub"
            )
        found[name] = folder
    return settings._replace(student=found["student"], teacher=found["teacher"])


def tokenizer_of(folder: Path | None) -> Any:
    """The tokenizer in a model directory. Raises DistillError where it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:
        # Whatever the tokenizer's own code and the Rust library raise: the files are at fault.
        said = " ".join(str(error).split())[:160]
        raise DistillError(f"{folder}: its tokenizer cannot be loaded: {said}; copy the model's files again") from None


def digest(paths: Sequence[Path]) -> str:
    """The SHA-256 of the sources' contents. Raises DistillError where one cannot be read."""
    parts = [hashlib.sha256(read_bytes(path)).digest() for source in paths for path in files(source)]
    return hashlib.sha256(b"".join(parts)).hexdigest()
