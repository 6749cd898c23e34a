"""Makes the artifact that ships: `python -m tests.bench.difficulty.build ../shared/data` writes `router/shipped`.

A ridge regression of the level of each prompt (see `prompts` and `latent`) on its n-grams, mean word vectors and shape
measures. The score is the rank of the result among reference prompts. The same inputs give the same hash; without the
shared data it is trained on the written prompts alone, and has another hash.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import Ridge

from breakeven.router.features.extract import Features, extract
from breakeven.router.features.kernel_numpy import BUCKETS
from breakeven.router.model import artifact, forest, neighbours
from breakeven.router.model.difficulty import SCALE, Difficulty
from breakeven.router.model.rank import QUANTILES
from breakeven.router.training.design import Design
from breakeven.router.training.novelty import MAX_TEXTS, fit_novelty
from tests.bench.difficulty.latent import questions
from tests.bench.difficulty.prompts import training

CARD = Path(__file__).with_name("card.md")
MADE = "2026-11-27T00:00:00Z"
# Everyday prompts to assistants and banks lie between commands and questions that a FAQ answers.
_EVERYDAY_LEVEL = 0.4
# Weights of the sources: other authors' prompts have less exact levels.
_EVERYDAY_WEIGHT, _QUESTION_WEIGHT = 0.4, 0.4
# One everyday prompt of this many is kept for measuring.
_HELD_OUT = 5
_RIDGE, _WORD_SCALE = 3.0, 3.0
# Log-odds for a level: the middle level is even.
_STEEP, _MIDDLE = 1.5, 2.0
# Lengths are compared in classes of this many to a doubling, and no prompt counts more than this many times.
_CLASSES, _MOST_WEIGHT = 1.5, 6.0
# Weights are stored in units that the order of a sum does not change.
_UNIT = 2.0**-14
_SEED = 20261127


class Sample(NamedTuple):
    """Prompts to train on: `texts`, their `levels` (n,), `weights` (n,), and `groups`, their authors or sources."""

    texts: list[str]
    levels: np.ndarray
    weights: np.ndarray
    groups: list[str]

    def subset(self, pick: np.ndarray) -> Sample:
        """The prompts with these numbers."""
        kept = pick.tolist()
        return Sample(
            [self.texts[i] for i in kept], self.levels[pick], self.weights[pick], [self.groups[i] for i in kept]
        )


def everyday(folder: Path, *, held_out: bool) -> list[dict[str, Any]]:
    """The everyday prompts that are trained on, or those kept for measuring; none without the file."""
    path = folder / "everyday_reference.jsonl.gz"
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    kept = [int(hashlib.sha256(row["prompt"].encode()).hexdigest(), 16) % _HELD_OUT == 0 for row in rows]
    return [row for row, out in zip(rows, kept, strict=True) if out == held_out]


def sample(folder: Path) -> Sample:
    """All prompts to train on, weighted so that length does not tell easy from hard ones."""
    written, asked, usual = training(), questions(folder), everyday(folder, held_out=False)
    texts = [p.text for p in written] + [q.text for q in asked] + [row["prompt"] for row in usual]
    levels = [float(p.level) for p in written] + [q.level for q in asked] + [_EVERYDAY_LEVEL] * len(usual)
    weights = [1.0] * len(written) + [_QUESTION_WEIGHT] * len(asked) + [_EVERYDAY_WEIGHT] * len(usual)
    groups = [p.author for p in written] + [q.source for q in asked] + ["everyday"] * len(usual)
    level = np.array(levels)
    return Sample(texts, level, np.array(weights) * _balance(texts, level, np.array(weights)), groups)


def _balance(texts: Sequence[str], levels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Factors (n,) by which easy and hard prompts of each class of length weigh the same."""
    classes = np.array([int(_CLASSES * np.log2(8 + len(text))) for text in texts])
    side = np.digitize(levels, (1.5, 2.5))
    factors = np.ones(len(texts))
    for which in np.unique(classes):
        inside = classes == which
        for one in range(3):
            own = inside & (side == one)
            if own.any():
                factors[own] = np.clip(weights[inside].sum() / (3 * weights[own].sum()), 0.3, _MOST_WEIGHT)
    return factors


def idf(features: Sequence[Features]) -> np.ndarray:
    """The inverse document frequency of each bucket (BUCKETS,), the same for all that no text has."""
    count = np.bincount(np.concatenate([item.buckets for item in features]), minlength=BUCKETS)
    return np.log((1 + len(features)) / (1 + np.maximum(count, 2))) + 1


def fit(chosen: Sample, features: Sequence[Features]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The arrays and numbers of an artifact's classifier, with `ranks` that do not rank yet."""
    known = idf(features)
    design = Design(features, known, _WORD_SCALE)
    model = Ridge(alpha=_RIDGE, solver="sparse_cg", tol=1e-9, max_iter=3000)
    model.fit(design.columns, _STEEP * (chosen.levels - _MIDDLE), sample_weight=chosen.weights)
    grams, shape = design.unfold(np.rint(model.coef_[None] / _UNIT) * _UNIT)
    weighted = np.zeros((BUCKETS, 2), dtype=np.int32)
    weighted[:, 0] = np.rint(np.rint(known * grams[0] / _UNIT) * _UNIT * SCALE)
    arrays = {
        "weighted": weighted,
        "squared": np.rint(known**2 * 65536.0).astype(np.int32),
        "shape": np.rint(np.concatenate([shape, np.zeros_like(shape)]) / _UNIT) * _UNIT,
        "mean": np.rint(design.mean / _UNIT) * _UNIT,
        "ranks": np.array([0.0, 1.0]),
        **forest.empty_tables(),
        **neighbours.empty_tables(),
    }
    numbers = {"student_bias": round(float(model.intercept_), 4), "teacher_bias": 0.0}
    return arrays, numbers | {"slope": 1.0, "bend": 0.0, "intercept": 0.0, "middle": 0.0, "spread": 1.0}


def gains(tables: tuple[dict[str, np.ndarray], dict[str, float]], features: Sequence[Features]) -> np.ndarray:
    """The expected difficulty of each text, (n,)."""
    difficulty = Difficulty(*tables)
    return np.array([difficulty.gain(item) for item in features])


def reference(chosen: Sample) -> np.ndarray:
    """The numbers of the reference prompts: half of them everyday ones, half harder ones, MAX_TEXTS in all."""
    rng = np.random.default_rng(_SEED)
    picked: list[int] = []
    for easy in (True, False):
        numbers = np.flatnonzero((chosen.levels < 1.5) == easy)
        own = np.array([chosen.groups[n] in ("everyday", "mmlu_pro") for n in numbers])
        # Of the everyday prompts those in English are the fewer: other languages have less in common with each other.
        picked += rng.permutation(numbers[own])[: MAX_TEXTS // 3].tolist()
        picked += rng.permutation(numbers[~own])[: MAX_TEXTS // 2 - min(int(own.sum()), MAX_TEXTS // 3)].tolist()
    return np.sort(np.array(picked))


def noise(chosen: Sample, features: Sequence[Features], ranks: np.ndarray) -> float:
    """The standard error of a rank over authors: two models, each of half of the groups, compared on the reference."""
    names = sorted(set(chosen.groups))
    halves = []
    for part in (0, 1):
        own = np.array([names.index(group) % 2 == part for group in chosen.groups])
        picked = np.flatnonzero(own)
        tables = fit(chosen.subset(picked), [features[i] for i in picked])
        values = gains(tables, [features[i] for i in ranks])
        halves.append(np.argsort(np.argsort(values)) / len(values))
    return round(float((halves[0] - halves[1]).std() / 2), 3)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: writes the artifact and prints its hash."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=artifact.SHIPPED)
    wanted = parser.parse_args(arguments)
    chosen = sample(wanted.data)
    features = [extract(text) for text in chosen.texts]
    tables, numbers = fit(chosen, features)
    picked = reference(chosen)
    own = [features[index] for index in picked]
    tables["ranks"] = np.round(np.quantile(gains((tables, numbers), own), np.linspace(0.0, 1.0, QUANTILES)), 4)
    metadata = {
        **numbers,
        "score": "rank",
        "rows": len(chosen.texts),
        "reference": len(picked),
        "sources": sorted(set(chosen.groups)),
        "categories": {},
        "novel_worse": 0.5,
        "noise": noise(chosen, features, picked),
        "prior": None,
        "created": MADE,
    }
    card = CARD.read_text(encoding="utf-8")
    digest = artifact.write(wanted.out, {**tables, **fit_novelty(own).tables}, metadata, card)
    sys.stdout.write(f"{wanted.out}: artifact {digest}, {len(chosen.texts)} prompts, noise {metadata['noise']}\n")


if __name__ == "__main__":
    main()
