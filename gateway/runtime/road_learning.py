"""What learning from comparisons needs of the ledger and the config, and what it saves."""

from __future__ import annotations

import asyncio
from pathlib import Path

from breakeven.gateway.config.schema import Config
from breakeven.gateway.ledger.road import Comparison
from breakeven.gateway.road.learning_process import learn_apart
from breakeven.gateway.road.machine import Settings
from breakeven.gateway.road.task import NEWEST, Labelled, Learned, Task
from breakeven.gateway.runtime.trained_artifacts import TrainedArtifacts


def labelled(rows: list[Comparison]) -> list[Labelled]:
    """The comparisons whose prompt is stored. Their unit is the artifact, which requests of stage OBSERVE have, too."""
    return [
        Labelled(
            row.request,
            row.at,
            row.text,
            row.student_score,
            row.teacher_score,
            row.weight,
            row.logprob,
            row.artifact or "",
        )
        for row in rows
        if row.text is not None
    ]


async def learned_from(
    artifacts: TrainedArtifacts, out: Path, rows: list[Comparison], known: list[Labelled], floor: float, error: float
) -> tuple[Learned, int, float | None]:
    """A router trained apart on `known`, those of `rows` that are `labelled`, by way of the folder `out`, and stored:
    what was learned, the time of the newest comparison, and its `bill_share`. `error`: that of this look.

    Raises LearningFailed, LedgerError, ArtifactError, OSError.
    """
    learned = await learn_apart(Task(known, floor, error), out)
    at = known[-1].at
    await asyncio.to_thread(artifacts.add, out, learned.artifact, at)
    return learned, at, await asyncio.to_thread(bill_share, artifacts, learned, rows)


def bill_share(artifacts: TrainedArtifacts, learned: Learned, rows: list[Comparison]) -> float | None:
    """The share of the teacher's bill that the student's answers make unnecessary, from the newest fifth of the
    comparisons with a stored prompt, which the artifact was not trained on. Raises LedgerError, ArtifactError, OSError.
    """
    threshold, limit = learned.threshold, learned.limit
    artifact = artifacts.load(learned.artifact)
    if threshold is None or artifact is None:
        return None
    rows = [row for row in rows if row.text is not None]
    saved = whole = 0.0
    for row in rows[len(rows) - len(rows) // NEWEST :]:
        cost = row.weight * row.teacher_cost
        whole += cost
        discarded = limit is not None and row.logprob is not None and row.logprob < limit
        if not discarded and artifact.assess(row.text or "").score < threshold:
            saved += cost
    return saved / whole if whole else None


def settings_of(config: Config) -> Settings:
    """What the stages need of the config."""
    road = config.road
    return Settings(
        road.advance == "auto", road.floor, road.confidence, road.labels, road.sample, judged=road.scorer == "judge"
    )
