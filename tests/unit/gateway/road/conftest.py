"""Synthetic comparisons of which prompts are hard for the student, and how often it is worse on them."""

from __future__ import annotations

import random

from breakeven.gateway.road.task import Labelled

_EASY = "please greet the friendly visitor and name a color of the sky today".split()  # noqa: SIM905
_HARD = "prove the spectral theorem for unbounded hermitian operators via cauchy integrals".split()  # noqa: SIM905
_COMMON = "what is how does a of when under with for between".split()  # noqa: SIM905


def comparisons(count: int, seed: int, worse: tuple[float, float] = (0.02, 0.7), hard: float = 0.4) -> list[Labelled]:
    """`count` comparisons, of which the share `hard` has hard words. The student fails on easy and on hard ones with
    the probabilities `worse`, the teacher on one in twenty.
    """
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        of = rng.random() < hard
        words = rng.choices(_HARD if of else _EASY, k=6) + rng.choices(_COMMON, k=4)
        rng.shuffle(words)
        student, teacher = float(rng.random() >= worse[of]), float(rng.random() >= 0.05)
        rows.append(Labelled(f"r{number}", number, " ".join(words) + "?", student, teacher))
    return rows
