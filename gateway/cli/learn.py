"""`breakeven train --from-ledger`: train a router on the ledger's outcomes, and deploy it only if it is better.

The router in service is the champion, the new one the challenger.
"""

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
from breakeven.router.progress import Progress, quiet
from breakeven.router.training.champion import Contest, contest
from breakeven.router.training.train import train

# The share of the newest rows held out to compare the two routers; neither is trained on them.
_HELD_OUT = 0.2
MIN_ROWS = 100


class Learned(NamedTuple):
    """The comparison of champion and challenger, both named by their artifact hash, trained on `rows` rows.

    `live`: the challenger replaced the artifact in `out`; otherwise it was left in `aside`.
    """

    rows: int
    champion: str
    challenger: str
    contest: Contest
    live: bool
    aside: Path

    def lines(self, out: Path) -> list[str]:
        """Lines to print. `out` is the directory of the artifact in service."""
        found = self.contest
        lines = [
            f"champion {self.champion}: APGR {found.champion_apgr:.3f}"
            + ("" if found.champion_brier is None else f", Brier {found.champion_brier:.3f}"),
            f"challenger {self.challenger}: APGR {found.challenger_apgr:.3f}, Brier {found.challenger_brier:.3f}, "
            f"trained on {self.rows} rows",
            f"on the {found.rows} newest rows the challenger has the higher APGR in {found.better_in:.0%} of resamples",
        ]
        if self.live:
            return [*lines, f"{out} now holds the challenger; its scores differ, so tune the threshold again"]
        return [*lines, f"the champion stays; the challenger is in {self.aside}"]


def learn(
    config: Config,
    out: Path,
    confidence: float,
    more: Sequence[OutcomeRow],
    sources: Sequence[str],
    progress: Progress = quiet,
) -> Learned:
    """Train a challenger on the ledger's outcomes and on `more` rows, with the champion as prior, and compare them.

    `out` is replaced only if the challenger is better in at least the share `confidence` of bootstrap resamples.
    `sources` names the origin of `more` in the artifact's metadata. Raises BreakevenError, OutcomeError.
    """
    with read_ledger(config) as ledger:
        rows = outcome_rows(ledger.judged())
        every, kept = ledger.outcome_counts()
    if len(rows) < MIN_ROWS:
        raise BreakevenError(
            f"the ledger has {every} outcomes, {kept} with their prompt, of which {len(rows)} have a score for the "
            f"student's answer; {MIN_ROWS} are needed: turn on road.sample and ledger.store_prompts, and wait"
        )
    champion = load(Path(config.routing.artifact) if config.routing.artifact is not None else None)
    cut = len(rows) - max(MIN_ROWS // 2, int(len(rows) * _HELD_OUT))
    aside = out.with_name(out.name + ".challenger")
    used = [*more, *rows[:cut]]
    digest = train(used, aside, sources=[*sources, "the ledger"], prior=champion, progress=progress)
    probabilities = not champion.difficulty.ranks
    found = contest(rows[cut:], champion.assess, load(aside).assess, probabilities=probabilities)
    live = found.better_in >= confidence
    if live:
        replace(aside, out)
    return Learned(len(used), champion.hash, digest, found, live, aside)


def outcome_rows(judged: Sequence[Judged]) -> list[OutcomeRow]:
    """Outcome rows in order of time, one for each request; a user's verdict takes precedence over the judge's.

    A user's verdict on a student's answer has no score for the teacher: the mean of all teacher scores is used, or 1.
    A verdict on a teacher's answer has no score for the student and is left out.
    """
    teacher = [one.teacher_score for one in judged if one.teacher_score is not None]
    mean = sum(teacher) / len(teacher) if teacher else 1.0
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
        OutcomeRow(one.request, one.text, one.student_score, mean if one.teacher_score is None else one.teacher_score,
                   None, None, {})
        for one in merged.values()
        if one.student_score is not None
    ]  # fmt: skip
