"""Held-out requests of the support desk: not in training, some of them worded anew, and some of kinds that are new.

Length and surface should not tell common requests from unusual ones: both are worded at length and briefly, and have
small talk around them. `python -m breakeven.models.examples.held_out` prints how well some measures of the surface tell
them apart, beside the requests of the training.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from breakeven.models.examples.new_kinds import NEW_KINDS
from breakeven.models.examples.support import COMMON, UNUSUAL, Case, cases, checker_of, is_common
from breakeven.models.examples.wordings import REWORDED, with_small_talk

COUNT = 1200
COMMON_SHARE = 0.75
# What `run_support` trains on by default.
TRAINED_ON = 2000
TRAINING_SEED = 7
_SEED = 21
_NEW_KIND_SHARE = 0.5
_REWORDED_SHARE = 0.6

# Measures of a prompt's surface that a router could go by without understanding anything.
SURFACE: dict[str, Callable[[str], int]] = {
    "characters": len,
    "words": lambda prompt: len(prompt.split()),
    "numbers": lambda prompt: len(re.findall(r"\d+", prompt)),
    "prices, percentages and times": lambda prompt: len(re.findall(r"EUR|%|2026|\d+ \w+day", prompt)),
    "question marks": lambda prompt: prompt.count("?"),
    "ends of sentences": lambda prompt: len(re.findall(r"[.?!] ", prompt)),
}

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


def surface_auroc(measure: str, known: Sequence[Case]) -> float:
    """The probability that this measure of SURFACE is larger for an unusual request than a common one; ties half."""
    of = SURFACE[measure]
    unusual = [of(case.prompt) for case in known if not is_common(case.kind)]
    common = [of(case.prompt) for case in known if is_common(case.kind)]
    found = sum((a > b) + (a == b) / 2 for a in unusual for b in common)
    return found / (len(unusual) * len(common))


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


def main() -> None:
    """Print a Markdown table."""
    held, trained = [one.case for one in held_out()], cases(TRAINED_ON, TRAINING_SEED)
    print("| AUROC, unusual against common | held out | training |\n| --- | --- | --- |")
    for name in SURFACE:
        print(f"| {name} | {surface_auroc(name, held):.3f} | {surface_auroc(name, trained):.3f} |")


if __name__ == "__main__":
    main()
