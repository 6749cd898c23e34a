"""Learning from comparisons: a router of one's own, and how much traffic it may hand over to the student.

The newest fifth of the comparisons is kept out of training. The others are ranked by models of a cross-validation that
were not fitted to them, within their folds, and the newest fifth by the final model, as one more fold. So every
comparison tests (decision 98), and the shares that are certified become thresholds by the scores of the newest fifth.

Only `task` is free of the libraries that training needs: serving must not import this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from breakeven.gateway.road.promise import (
    MORE,
    NEAR,
    Array,
    Comparisons,
    Promise,
    balanced,
    missing,
    ranks,
    solve,
    threshold,
)
from breakeven.gateway.road.task import NEWEST, Labelled, Learned, Task
from breakeven.router.features.extract import extract
from breakeven.router.model import artifact
from breakeven.router.outcomes import OutcomeError, OutcomeRow
from breakeven.router.training.novelty import fit_novelty
from breakeven.router.training.train import Fit, fit, save

# Escalation is considered only where the log-probability of this share of the student's answers is known. Answers
# without are taken for the student's, since the gateway does not discard an answer that it knows nothing of.
_KNOWN = 0.9
# The newest comparisons are enough: training on more takes minutes, and hardly ranks better.
_MOST = 10_000


class Ranking(NamedTuple):
    """A router and how it ranks the rows of a task.

    `rank`: how easy each row is for the student, (n,) in [0, 1], among rows that its model was not trained on (see
    `promise.ranks`); `artifact`: the hash; `trained`: whether it was trained on some of the rows; `scores` (m,): those
    that the artifact gives to rows that are new to it, with the `weight` (m,) of each.
    """

    rank: Array
    artifact: str
    trained: bool
    scores: Array
    weight: Array


def learn(task: Task, out: Path) -> Learned:
    """Train an artifact, write it to the directory `out`, and find the best setting that can be promised for it.

    Rows that nothing can be learned from are no error: the artifact is then the one that is started from, or the
    shipped one, which can still hand over everything if the student is good enough. Raises ValueError for rows without
    meaning (none at all, or scores outside [0, 1]), ArtifactError for a prior that cannot be loaded, and OSError.
    """
    _check(task)
    known = len(task.rows)
    task = msgspec.structs.replace(task, rows=task.rows[-_MOST:])
    weight = weights(task.rows)
    found = promised(task, _learned(task, weight, out) or _started_from(task, weight, out))
    return msgspec.structs.replace(found, rows=known)


def promised(task: Task, ranking: Ranking) -> Learned:
    """What can be promised of the rows of a task, ranked like this."""
    compared = Comparisons(
        ranking.rank,
        np.array([row.student for row in task.rows]),
        np.array([row.teacher for row in task.rows]),
        weights(task.rows),
        _logprobs(task.rows),
    )
    return _result(task, ranking, compared, solve(compared, task.floor, task.error))


def weights(rows: list[Labelled]) -> Array:
    """How much each row counts, (n,)."""
    _, units = np.unique([row.unit for row in rows], return_inverse=True)
    return balanced(np.array([row.weight for row in rows]), units)


def _check(task: Task) -> None:
    if not task.rows or not 0.0 < task.floor < 1.0 or not 0.0 < task.error < 1.0:
        raise ValueError("learning needs comparisons, and a floor and an error probability between 0 and 1")
    for row in task.rows:
        if not (0.0 <= row.student <= 1.0 and 0.0 <= row.teacher <= 1.0 and 0.0 < row.weight < float("inf")):
            raise ValueError(f"the comparison of request {row.request} has a score or a weight that is none")


def _learned(task: Task, weight: Array, out: Path) -> Ranking | None:
    """The ranking by a model that was trained on the older rows; None where these are too few or too much alike."""
    older = len(task.rows) - len(task.rows) // NEWEST
    rows = [_outcome(number, row) for number, row in enumerate(task.rows[:older])]
    prior = artifact.load(Path(task.prior)) if task.prior is not None else None
    try:
        fitted = fit(rows, prior=prior.difficulty if prior is not None else None)
        # A score depends on novelty, and the newest texts are to be as new to the artifact as requests will be.
        known = _texts(task)[:older]
        digest = save(fitted, rows, out, sources=["comparisons"], reference=known, prior=prior)
    except ValueError:
        # Also what scikit-learn raises where a fold has answers of one kind only.
        return None
    newest = _scores(artifact.load(out), task.rows[older:])
    return Ranking(_ranks(fitted, newest, weight), digest, True, newest, weight[older:])


def _ranks(fitted: Fit, newest: Array, weight: Array) -> Array:
    folds = np.append(fitted.folds, np.full(len(newest), fitted.folds.max() + 1))
    return ranks(np.append(fitted.gains, newest), folds, weight)


def _started_from(task: Task, weight: Array, out: Path) -> Ranking:
    """The ranking by the artifact that is started from, of all rows: they are all new to it."""
    folder = Path(task.prior) if task.prior is not None else artifact.SHIPPED
    digest = _copy(folder, _texts(task), out)
    scores = _scores(artifact.load(out), task.rows)
    return Ranking(ranks(scores, np.zeros(len(scores), dtype=np.int64), weight), digest, False, scores, weight)


def _copy(folder: Path, texts: list[str], out: Path) -> str:
    """Write the artifact of a directory to `out` with novelty measured against these texts, unless they are too few,
    and return its hash.
    """
    known = artifact.load(folder)
    with np.load(folder / "weights.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    metadata = {**known.metadata, "prior": known.hash}
    try:
        arrays |= fit_novelty([extract(text) for text in texts]).tables
        metadata["reference"] = len(texts)
    except OutcomeError:
        pass
    card = f"# Router artifact {{hash}}\n\nThe artifact {known.hash}: there were too few comparisons to train on.\n"
    return artifact.write(out, arrays, metadata, card)


def _scores(loaded: artifact.Artifact, rows: list[Labelled]) -> Array:
    return np.array([loaded.assess(row.text).score for row in rows])


def _texts(task: Task) -> list[str]:
    return [row.text for row in task.rows]


def _outcome(number: int, row: Labelled) -> OutcomeRow:
    # Training sorts by id: this one keeps the order.
    return OutcomeRow(f"{number:09d}", row.text, row.student, row.teacher, None, None, {})


def _logprobs(rows: list[Labelled]) -> Array | None:
    known = [row.logprob for row in rows if row.logprob is not None]
    if len(known) < _KNOWN * len(rows):
        return None
    return np.array([0.0 if row.logprob is None else row.logprob for row in rows])


def _result(task: Task, ranking: Ranking, compared: Comparisons, promise: Promise | None) -> Learned:
    answered = promise.setting.answered if promise is not None else 0.0
    more = min(1.0, answered + MORE)
    lacking = missing(compared, task.floor, task.error, more - NEAR) if answered < 1.0 else None
    learned = Learned(
        ranking.artifact,
        ranking.trained,
        len(task.rows),
        missing=lacking,
        would_answer=more if lacking is not None else None,
    )
    if promise is None:
        return learned
    share = promise.setting.share
    # No score reaches 1.
    below = min(1.0, threshold(share, ranking.scores, ranking.weight))
    return msgspec.structs.replace(
        learned,
        share=share,
        limit=promise.setting.limit,
        answered=answered,
        threshold=below,
        retention=promise.retention,
        low=promise.low,
    )
