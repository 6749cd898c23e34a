"""Whether a candidate is better or worse than the student, from answers of both to the same requests; at any moment.

A confidence sequence for the mean of a bounded variable, by betting (Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting", Journal of the Royal Statistical Society B 86, 2024): for each value that the mean
may have, gamblers bet on a larger one, and others on a smaller one. While a value is the true mean the mean capital of
either side is a nonnegative martingale, which ever reaches 2 / error with a probability of at most error / 2 (Ville,
"Étude critique de la notion de collectif", 1939). So the interval of the values that are not yet refuted holds the mean
at all moments together, with the given confidence: one may look after every comparison, and stop when one likes.

Unlike `watch.Alarm` the gamblers never start anew: a decision is made once. With fixed bets a capital is a product over
the comparisons, whose order does not matter, so that one that arrives late makes no difference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.statistics import Interval

Array = NDArray[np.float64]

# The bets, as shares of the largest one, with which all capital could be lost. Small ones show small differences.
_BETS = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
_HALVINGS = 20


class Verdict(NamedTuple):
    """The mean difference, candidate less student, in scores of answers, with an interval that holds at all moments
    together; from a number of comparisons.
    """

    comparisons: int
    difference: Interval

    @property
    def better(self) -> bool:
        """Whether the candidate is shown to be better."""
        return self.difference.low > 0.0

    @property
    def worse(self) -> bool:
        """Whether the candidate is shown to be worse."""
        return self.difference.high < 0.0


def judged(differences: Array, weights: Array, confidence: float, bound: float = 1.0) -> Verdict | None:
    """What comparisons of both answers show; None without any.

    `differences` (n,) in the order of the requests: the candidate's score less the student's, in [-bound, bound].
    `weights` (n,): one over the probability with which each request was compared. `confidence` in (0, 1): of the
    interval. A weight larger than all before it counts as the largest of these, since a bet must be sure to be paid;
    the first comparison only says what weights there are.
    """
    count = len(differences)
    if not count:
        return None
    mean = float(weights @ differences / weights.sum())
    if count == 1:
        return Verdict(1, Interval(mean, -bound, bound))
    shares, enough = _shares(weights), enough_capital(confidence)
    low = _refuted_below(differences[1:], shares, bound, enough)
    high = -_refuted_below(-differences[1:], shares, bound, enough)
    return Verdict(count, Interval(mean, min(mean, low), max(mean, high)))


def capital(differences: Array, weights: Array, bound: float = 1.0) -> Array:
    """The logarithm of what gamblers on a candidate that is better than the student have after each comparison, (n,).
    It is shown to be better as soon as that reaches `enough_capital`; with the opposite differences it is worse.
    """
    return np.append(0.0, _capital(differences[1:], _shares(weights), bound, 0.0))


def enough_capital(confidence: float) -> float:
    """The logarithm of the capital that refutes a mean, for either side of an interval of this confidence."""
    return float(np.log(2.0 / (1.0 - confidence)))


def _shares(weights: Array) -> Array:
    """The weights of all comparisons but the first, (n - 1,), as shares of the largest one before."""
    largest = np.maximum.accumulate(weights)[:-1]
    found: Array = np.minimum(weights[1:], largest) / largest
    return found


def _refuted_below(values: Array, shares: Array, bound: float, enough: float) -> float:
    """The value in [-bound, bound] below which no mean is compatible with the values, by bisection: the capital against
    a mean falls as that grows.
    """
    # Exactly what decides, whatever the bisection gives near it.
    zero = _capital(values, shares, bound, 0.0)[-1] >= enough
    low, high = (0.0, bound) if zero else (-bound, 0.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        refuted = _capital(values, shares, bound, middle)[-1] >= enough
        low, high = (middle, high) if refuted else (low, middle)
    return max(low, float(np.nextafter(0.0, 1.0))) if zero else low


def _capital(values: Array, shares: Array, bound: float, mean: float) -> Array:
    """The logarithm of what gamblers on a larger mean than this have after each value, (n,), who began with 1
    together.
    """
    won = shares * (values - mean) / (bound + mean)
    logs = np.cumsum(np.log1p(np.outer(_BETS, won)), axis=1)
    most = logs.max(axis=0)
    found: Array = most + np.log(np.mean(np.exp(logs - most), axis=0))
    return found
