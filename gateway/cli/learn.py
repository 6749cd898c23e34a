"""`breakeven train --from-ledger`: a router from what shadow traffic and users said, live only where it is better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.ledger.opening import read_ledger
from breakeven.gateway.ledger.outcomes import Judged
from breakeven.gateway.ledger.rows import SHADOW
from breakeven.router.model.artifact import load, replace
from breakeven.router.outcomes import OutcomeRow
from breakeven.router.training.champion import Contest, contest
from breakeven.router.training.train import train

# The newest rows decide between the two routers; neither was trained on them.
_NEWEST = 0.2
LEAST_ROWS = 100


class Learned(NamedTuple):
    """What came of it. `live`: the challenger is in `out`; else it is in `aside`, to look at."""

    rows: int
    champion: str
    challenger: str
    contest: Contest
    live: bool
    aside: Path

    def lines(self, out: Path) -> list[str]:
        """For people."""
        found = self.contest
        lines = [
            f"champion {self.champion}: APGR {found.champion_apgr:.3f}, Brier {found.champion_brier:.3f}",
            f"challenger {self.challenger}: APGR {found.challenger_apgr:.3f}, Brier {found.challenger_brier:.3f}, "
            f"trained on {self.rows} rows",
            f"on the {found.rows} newest rows the challenger is ahead in {found.better_in:.0%} of the draws",
        ]
        if self.live:
            return [*lines, f"{out} has the challenger now; its scores are new ones: tune the threshold again"]
        return [*lines, f"the champion stays; the challenger is in {self.aside}"]


def learn(config: Config, out: Path, confidence: float, more: Sequence[OutcomeRow], sources: Sequence[str]) -> Learned:
    """Train on the ledger's outcomes, and `more` rows, with the router in service as prior; compare; write.

    `out` is replaced only where the challenger is ahead with `confidence`. Raises BreakevenError, OutcomeError.
    """
    with read_ledger(config) as ledger:
        rows = outcome_rows(ledger.judged())
        every, kept = ledger.outcome_counts()
    if len(rows) < LEAST_ROWS:
        raise BreakevenError(
            f"the ledger has {every} outcomes, {kept} with their prompt, of which {len(rows)} say what the student's "
            f"answer was worth; {LEAST_ROWS} are needed: turn on shadow.rate and ledger.store_prompts, and wait"
        )
    champion = load(Path(config.routing.artifact) if config.routing.artifact is not None else None)
    cut = len(rows) - max(LEAST_ROWS // 2, int(len(rows) * _NEWEST))
    aside = out.with_name(out.name + ".challenger")
    used = [*more, *rows[:cut]]
    digest = train(used, aside, sources=[*sources, "the ledger"], prior=champion)
    found = contest(rows[cut:], champion.assess, load(aside).assess)
    live = found.better_in >= confidence
    if live:
        replace(aside, out)
    return Learned(len(used), champion.hash, digest, found, live, aside)


def outcome_rows(judged: Sequence[Judged]) -> list[OutcomeRow]:
    """Outcome rows in order of time, one a request. A user's verdict stands before the judge's.

    What a user said of a student's answer leaves open what the teacher's would have been worth: it is taken as good as
    the teacher's answers are on average. A verdict on a teacher's answer says nothing of the student and is left out.
    """
    teacher = [one.teacher_score for one in judged if one.teacher_score is not None]
    usual = sum(teacher) / len(teacher) if teacher else 1.0
    merged: dict[str, Judged] = {}
    for one in judged:
        known = merged.get(one.request)
        if known is None:
            merged[one.request] = one
            continue
        shadow, user = (known, one) if known.source == SHADOW else (one, known)
        score = shadow.student_score if user.student_score is None else user.student_score
        merged[one.request] = shadow._replace(student_score=score)
    return [
        OutcomeRow(one.request, one.text, one.student_score, usual if one.teacher_score is None else one.teacher_score,
                   None, None, {})
        for one in merged.values()
        if one.student_score is not None
    ]  # fmt: skip
