"""What new prompts should be about: the kinds of prompts on which an evaluation says that the student lost most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from breakeven.models.data.clusters import cluster
from breakeven.models.data.prompts import Prompt
from breakeven.models.errors import DistillError
from breakeven.models.evaluate.measures import weaknesses
from breakeven.router.outcomes import OutcomeError, OutcomeRow, read

_FILE = "outcomes.jsonl"


class Target(NamedTuple):
    """A kind of prompt: the mean `gap` between the scores of teacher and student on it, its `share` of the whole gap,
    the `seeds` that are of this kind, and how many prompts of it are `wanted`.
    """

    name: str
    gap: float
    share: float
    seeds: list[Prompt]
    wanted: int


def targets(evaluation: Path, seeds: Sequence[Prompt], wanted: int) -> list[Target]:
    """How `wanted` new prompts are divided among the kinds that the student of an evaluation lost, the most lost first.

    `evaluation`: the folder of `breakeven distill evaluate`. Kinds are categories where rows and seeds have them, else
    clusters of the evaluated prompts by words. A kind without a seed gets none, as there is nothing to write more of.
    Raises DistillError where nothing was lost, or no seed is of a lost kind.
    """
    path = evaluation / _FILE if evaluation.is_dir() else evaluation
    try:
        rows = read([path])
    except OutcomeError as error:
        raise DistillError(f"--aim {evaluation}: give a folder of `breakeven distill evaluate`: {error}") from None
    kinds, of_seeds = _kinds(rows, seeds)
    lost = weaknesses(kinds, [row.student_score for row in rows], [row.teacher_score for row in rows])
    if not lost:
        raise DistillError(f"--aim {evaluation}: the student lost nothing there; leave it out for prompts of all kinds")
    found = [(one, [seed for seed, kind in zip(seeds, of_seeds, strict=True) if kind == one.name]) for one in lost]
    whole = sum(one.share for one, own in found if own)
    if not whole:
        names = ", ".join(one.name for one in lost[:3])
        raise DistillError(f"--aim {evaluation}: lost most on {names}, and no training prompt is of these kinds")
    counts = _divided([one.share / whole if own else 0.0 for one, own in found], wanted)
    return [Target(one.name, one.gap, one.share, own, count) for (one, own), count in zip(found, counts, strict=True)]


def _kinds(rows: Sequence[OutcomeRow], seeds: Sequence[Prompt]) -> tuple[list[str], list[str]]:
    """The kinds of rows and of seeds."""
    own = [seed.carried.get("category") for seed in seeds]
    if any(row.category is not None for row in rows) and any(one is not None for one in own):
        return [row.category or "none" for row in rows], [str(one or "none") for one in own]
    found = cluster([_asked(row.record) for row in rows], [seed.text() for seed in seeds])
    if found is None:
        return ["all"] * len(rows), ["all"] * len(seeds)
    names = [f"prompts about {words}" for words in found.names]
    return [names[label] for label in found.labels], [names[label] for label in found.others]


def _asked(record: dict[str, Any]) -> str:
    messages = record.get("messages") or [{"role": "user", "content": record.get("prompt")}]
    return next((str(m.get("content") or "") for m in reversed(messages) if m.get("role") == "user"), "")


def _divided(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to shares that sum to 1, which sum to `total` (largest remainders)."""
    exact = [share * total for share in shares]
    counts = [int(one) for one in exact]
    by_remainder = sorted(range(len(shares)), key=lambda place: (counts[place] - exact[place], place))
    for place in by_remainder[: total - sum(counts)]:
        counts[place] += 1
    return counts
