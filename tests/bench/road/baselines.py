"""Routers to compare the ranking with, trained on the same rows: logistic regression on sentence embeddings, and the
similarity-weighted ranking of RouteLLM (arXiv 2406.18665, section 4.2) on the same embeddings.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from breakeven.router.outcomes import OutcomeRow, read, scores, texts
from tests.bench.road.figures import Ranking, apgr_of
from tests.bench.road.source import Array

_SCRIPT = Path(__file__).with_name("minilm.py")
# RouteLLM's: how much more similar rows weigh.
_GAMMA = 10.0


def baselines(
    data: Path, split: str, names: Sequence[str], labels: int, draws: int, tool: Sequence[str]
) -> Iterator[Ranking]:
    """Both, on the rows of a split. `tool`: an interpreter, a model and its tokenizer (see `minilm`)."""
    for name in names:
        path = data / f"{name}.jsonl.gz"
        train, test = read([path], "train"), read([path], split)
        order = [np.random.default_rng(seed).permutation(len(train))[:labels] for seed in range(draws)]
        used = np.unique(np.concatenate(order))
        vectors = _embedded([*texts([train[number] for number in used]), *texts(test)], tool)
        of_train, of_test = vectors[: len(used)], vectors[len(used) :]
        linear, similar = [], []
        for drawn in order:
            at = np.searchsorted(used, drawn)
            worse = _worse([train[number] for number in drawn])
            fitted = LogisticRegression(max_iter=1000).fit(of_train[at], worse)
            linear.append(fitted.decision_function(of_test))
            similar.append(_weighted(of_test @ of_train[at].T, worse))
        few = min(labels, len(train))
        yield Ranking(name, few, draws, len(test), apgr_of(linear, *scores(test)), "MiniLM, logistic regression")
        yield Ranking(name, few, draws, len(test), apgr_of(similar, *scores(test)), "RouteLLM, similarity-weighted")


def _weighted(similarity: Array, worse: Array) -> Array:
    """The teacher's share of wins among all rows, more similar ones weighing more; ties are the student's."""
    weight = _GAMMA ** (1.0 + similarity / similarity.max(axis=1, keepdims=True))
    found: Array = weight @ worse / weight.sum(axis=1)
    return found


def _worse(rows: Sequence[OutcomeRow]) -> Array:
    student, teacher = scores(rows)
    return (student < teacher).astype(np.float64)


def _embedded(every: list[str], tool: Sequence[str]) -> Array:
    python, *files = tool
    done = subprocess.run(
        [python, str(_SCRIPT), *files], input=json.dumps(every), capture_output=True, text=True, check=True
    )
    return np.array(json.loads(done.stdout))
