"""How hard each question of a benchmark is, from the outcomes of many models on it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from breakeven.router import outcomes

# The level of a source's questions on the scale of `prompts`, and how many levels one standard deviation within the
# source counts. Only accuracy labels of files whose licence allows training; preferences are on another scale.
SOURCES: Mapping[str, tuple[float, float]] = {
    "zeroeval_gsm": (2.0, 0.3),
    "mmlu_pro": (2.7, 0.4),
    "zeroeval_crux": (2.8, 0.3),
    "zeroeval_math_l5": (3.6, 0.3),
}
_MOST = 900
_ROUNDS = 50
# The variance of difficulties and abilities in log-odds, as ridge: keeps questions that all models solve finite.
_RIDGE = 0.5
_SEED = 20261127
# A benchmark whose rules forbid training on it. It puts instructions around the questions that it took from other sets,
# so that a question is recognised by how it begins; a shorter one would be found in others by chance.
FORBIDDEN = "routerarena_sub10"
_BEGINNING = 80
_SHORTEST = 40


class Question(NamedTuple):
    """A benchmark's prompt and its difficulty on the scale of the written prompts' levels."""

    source: str
    level: float
    text: str


def rasch(correct: np.ndarray) -> np.ndarray:
    """The difficulties (n,) of a Rasch model (1PL item response theory): P(correct) = sigmoid(ability - difficulty).

    `correct` (n, models) holds outcomes in [0, 1], nan where there is none. Alternating Newton steps of the penalised
    likelihood; difficulties have the mean zero.
    """
    known = np.isfinite(correct)
    seen = np.where(known, correct, 0.0)
    difficulty, ability = np.zeros(len(correct)), np.zeros(correct.shape[1])
    for _ in range(_ROUNDS):
        for axis, of, sign in ((1, difficulty, -1.0), (0, ability, 1.0)):
            expected = 1.0 / (1.0 + np.exp(difficulty[:, None] - ability))
            slope = (sign * (seen - expected) * known).sum(axis=axis) - _RIDGE * of
            of += slope / ((expected * (1.0 - expected) * known).sum(axis=axis) + _RIDGE)
        difficulty -= difficulty.mean()
    return difficulty


def questions(folder: Path) -> list[Question]:
    """The train questions of SOURCES in `folder`, at most _MOST of each, without those of FORBIDDEN; none where the
    folder has no such file.
    """
    found: list[Question] = []
    forbidden = _forbidden(folder)
    for name, (level, width) in SOURCES.items():
        path = folder / f"{name}.jsonl.gz"
        if not path.exists():
            continue
        rows = outcomes.read([path], "train")
        latent = rasch(np.array([_outcomes(row.record) for row in rows], dtype=float))
        # Centred within its source: which models a file has says nothing about its questions.
        standard = np.clip((latent - latent.mean()) / latent.std(), -2.0, 2.0)
        picked = np.sort(np.random.default_rng(_SEED).permutation(len(rows))[:_MOST]).tolist()
        found += [
            Question(name, level + width * float(standard[index]), rows[index].text)
            for index in picked
            if not begins_in(rows[index].text, forbidden)
        ]
    return found


def begins_in(text: str, prompts: str) -> bool:
    """Whether one of these normalised prompts has the beginning of a text, whatever its case and spaces."""
    beginning = normalised(text)[:_BEGINNING]
    return len(beginning) >= _SHORTEST and beginning in prompts


def normalised(text: str) -> str:
    """A text without what differs between copies of it: case, and how words are separated."""
    return " ".join(text.casefold().split())


def _forbidden(folder: Path) -> str:
    path = folder / f"{FORBIDDEN}.jsonl.gz"
    if not path.exists():
        return ""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return "\n".join(normalised(json.loads(line)["prompt"]) for line in file)


def _outcomes(record: dict[str, Any]) -> list[float]:
    if "preds" in record:
        return [float(letter == record["answer"]) for letter in record["preds"]]
    return [float(score) if score is not None else float("nan") for score in _values(record["scores"])]


def _values(scores: Any) -> list[Any]:
    return [scores[name] for name in sorted(scores)] if isinstance(scores, dict) else list(scores)
