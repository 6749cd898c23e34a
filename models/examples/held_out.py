"""Held-out requests of the support desk: not in training, some of them worded anew, and some of kinds that are new.

Length and surface should not tell common requests from unusual ones: both are worded at length and briefly, and have
small talk around them.
"""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

from breakeven.models.examples.new_kinds import NEW_KINDS
from breakeven.models.examples.support import COMMON, UNUSUAL, Case, cases, checker_of
from breakeven.models.examples.wordings import REWORDED, with_small_talk

COUNT = 1200
COMMON_SHARE = 0.75
# What `run_support` trains on by default.
TRAINED_ON = 2000
TRAINING_SEED = 7
_SEED = 21
_NEW_KIND_SHARE = 0.5
_REWORDED_SHARE = 0.6

Wording = Literal["trained", "new wording", "new kind"]


class HeldOut(NamedTuple):
    """A request with its right answer. `wording`: whether training had this wording of it, with other values."""

    id: str
    wording: Wording
    case: Case


def held_out(count: int = COUNT) -> list[HeldOut]:
    """`count` distinct requests in random order, always the same; none is among those of the training."""
    rng = random.Random(_SEED)
    used = {case.prompt for case in cases(TRAINED_ON, TRAINING_SEED)}
    found: list[HeldOut] = []
    while len(found) < count:
        wording, case = _drawn(rng)
        if case.prompt not in used:
            used.add(case.prompt)
            found.append(HeldOut(f"desk-{len(found) + 1:04d}", wording, case))
    return found


def _drawn(rng: random.Random) -> tuple[Wording, Case]:
    common = rng.random() < COMMON_SHARE
    if not common and rng.random() < _NEW_KIND_SHARE:
        kind = rng.choice(list(NEW_KINDS))
        prompt, answer = NEW_KINDS[kind](rng)
        return "new kind", Case(kind, with_small_talk(rng, prompt), answer)
    kinds = COMMON if common else UNUSUAL
    kind = rng.choice(list(kinds))
    if rng.random() >= _REWORDED_SHARE:
        return "trained", Case(kind, *kinds[kind](rng), checker_of(kind))
    prompt, answer = REWORDED[kind](rng)
    return "new wording", Case(kind, with_small_talk(rng, prompt), answer, checker_of(kind))
