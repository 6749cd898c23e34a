"""Champion and challenger: whether a new router ranks held-out prompts better than the router in service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from breakeven.router.evaluation.evaluate import apgr, brier
from breakeven.router.outcomes import OutcomeError, OutcomeRow, scores, texts
from breakeven.router.policy import Assessment

_RESAMPLES = 1000
_SEED = 20261125


class Contest(NamedTuple):
    """APGR and Brier score of both routers on the same rows (see `evaluation.evaluate`); the champion has no Brier
    score if it only ranks.

    `better_in`: the share, in [0, 1], of paired bootstrap samples of the rows on which the challenger's APGR is higher.
    """

    rows: int
    champion_apgr: float
    challenger_apgr: float
    champion_brier: float | None
    challenger_brier: float
    better_in: float


def contest(
    rows: Sequence[OutcomeRow],
    champion: Callable[[str], Assessment],
    challenger: Callable[[str], Assessment],
    *,
    probabilities: bool = True,
) -> Contest:
    """Compare two routers on rows that neither was trained on; each is given as a function from a text to its
    assessment. `probabilities`: whether the champion's scores are such; where they only rank, it has no Brier score.

    Raises OutcomeError where the teacher's mean score is not above the student's: there is then nothing to rank.
    """
    student, teacher = scores(rows)
    if not rows or teacher.mean() <= student.mean():
        raise OutcomeError(
            f"on the {len(rows)} newest rows the teacher is no better than the student on average: there is nothing to "
            "compare, and the router in service stays"
        )
    seen = texts(rows)
    old, new = (np.array([assess(text).score for text in seen]) for assess in (champion, challenger))
    rng = np.random.default_rng(_SEED)
    wins = draws = 0.0
    for _ in range(_RESAMPLES):
        drawn = rng.integers(0, len(rows), len(rows))
        pair = [apgr(score[drawn], student[drawn], teacher[drawn]) for score in (old, new)]
        # A sample without a gap is left out; a tie counts as half.
        if np.isfinite(pair).all() and teacher[drawn].mean() > student[drawn].mean():
            wins += 0.5 * (np.sign(pair[1] - pair[0]) + 1)
            draws += 1
    worse = student < teacher
    return Contest(
        len(rows),
        apgr(old, student, teacher),
        apgr(new, student, teacher),
        brier(old, worse) if probabilities else None,
        brier(new, worse),
        wins / draws if draws else 0.0,
    )
