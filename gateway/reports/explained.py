"""A decision in words: what makes the prompt hard or easy, how it compares with one's own traffic, and how the student
did on prompts like it. No text of another prompt is part of it.
"""

from __future__ import annotations

import contextlib
from typing import Literal, NamedTuple

from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.road.share import NEWEST_SCORES, harder_than
from breakeven.router.explain import alike, reasons
from breakeven.router.model.artifact import Artifact

# The newest comparisons that are looked through, and with how many alike something is said.
_COMPARED, _FEWEST = 2_000, 3
_NEARLY = 0.005


class Standing(NamedTuple):
    """How hard a prompt is among others: the share of them that is easier, and which they are; None for both where the
    score does not say.

    `probability`: that the student's answer is worse; None unless the scores were calibrated on outcomes of a student.
    """

    harder_than: float | None
    among: Literal["own_traffic", "reference_prompts"] | None
    probability: float | None

    def __str__(self) -> str:
        parts = []
        if self.harder_than is not None:
            what = "your traffic" if self.among == "own_traffic" else "the reference prompts"
            if _NEARLY <= self.harder_than <= 1.0 - _NEARLY:
                parts.append(f"harder than {self.harder_than:.0%} of {what}")
            else:
                parts.append(f"{'harder' if self.harder_than > 0.5 else 'easier'} than nearly all of {what}")
        if self.probability is not None:
            parts.append(f"the student's answer is worse with a probability of {self.probability:.0%}")
        return "; ".join(parts)


class Explained(NamedTuple):
    """Phrases on the prompt, its standing, and of how many `alike` compared prompts the student failed how many."""

    phrases: list[str]
    standing: Standing
    alike: int = 0
    failed: int = 0

    def __str__(self) -> str:
        parts = [*self.phrases, str(self.standing)]
        if self.alike:
            times = "once" if self.failed == 1 else f"{self.failed} times"
            parts.append(f"like {self.alike} of your prompts where the student failed {times}")
        return "; ".join(part for part in parts if part)


def standing(artifact: Artifact, score: float, seen: list[tuple[float, float]]) -> Standing:
    """Where a score stands; `seen` has score and novelty of the workload's newest requests, by the same artifact."""
    among_own, ranks = harder_than(score, seen), artifact.difficulty.ranks
    probability = None if ranks else score
    if among_own is not None:
        return Standing(among_own, "own_traffic", probability)
    return Standing(score, "reference_prompts", None) if ranks else Standing(None, None, probability)


def threshold_text(artifact: Artifact, threshold: float, seen: list[tuple[float, float]], said_by: str) -> str:
    """A threshold as the share of the traffic that it is harder than, where that is known, and its value; `said_by`:
    what set it.
    """
    found = standing(artifact, threshold, seen)._replace(probability=None)
    return f"{found} ({threshold:g}; {said_by})" if str(found) else f"{threshold:g} ({said_by})"


def explain(ledger: Ledger | None, artifact: Artifact, workload: str, text: str, score: float) -> Explained:
    """Explain a score in words. Without a ledger, or one that cannot be read, nothing is known of one's own traffic."""
    seen: list[tuple[float, float]] = []
    alike_failed = (0, 0)
    if ledger is not None:
        with contextlib.suppress(LedgerError):
            seen = ledger.road.newest_scores(workload, artifact.hash, NEWEST_SCORES)
            alike_failed = _like(ledger, workload, text)
    found = standing(artifact, score, seen)
    return Explained(reasons(artifact.difficulty, text, hard=_hard(found)), found, *alike_failed)


def _hard(found: Standing) -> bool:
    known = found.probability if found.harder_than is None else found.harder_than
    return known is not None and known >= 0.5


def _like(ledger: Ledger, workload: str, text: str) -> tuple[int, int]:
    """How many compared prompts with the current student are like a text, and on how many its answer was worse."""
    versions = ledger.road.newest_versions(workload)
    if versions is None:
        return 0, 0
    compared = ledger.road.comparisons(workload, 0, versions[0])[-_COMPARED:]
    known = [(one.text, one.student_score < one.teacher_score) for one in compared if one.text is not None]
    near = alike(text, [prompt for prompt, _ in known])
    return (len(near), sum(known[index][1] for index in near)) if len(near) >= _FEWEST else (0, 0)
