"""Simulated answers of a candidate and a student to the same requests."""

from __future__ import annotations

import numpy as np

from breakeven.gateway.road.gate import Array, capital, enough_capital

LENGTH, CONFIDENCE = 1500, 0.95


def answers(seed: int, better: float, *, weighted: bool = False, length: int = LENGTH) -> tuple[Array, Array]:
    """Differences and weights, (length,) each, of a candidate that is right in 70% + `better` of the requests, beside a
    student of 70%. With `weighted` half of the requests are hard ones, on which both are right in 20% less, at a
    quarter of the weight.
    """
    rng = np.random.default_rng(seed)
    hard = rng.random(length) < 0.5 if weighted else np.zeros(length, dtype=bool)
    ability, luck = np.where(hard, 0.5, 0.7), rng.random(length)
    student = rng.random(length) < ability
    candidate = luck < ability + better
    return candidate.astype(float) - student, np.where(hard, 1.0, 4.0)


def found_at(differences: Array, weights: Array) -> int | None:
    """The number of comparisons at which the candidate is first said to be better, looking after each; None: never."""
    enough = np.flatnonzero(capital(differences, weights) >= enough_capital(CONFIDENCE))
    return int(enough[0]) + 1 if len(enough) else None
