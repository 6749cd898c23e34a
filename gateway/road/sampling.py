"""Which requests are compared where not all can be: with which probability, so that what they cost stays in the budget.

Requests that are likely to tell more are drawn up to STRATA_RATIO times as often as the others: those unlike what the
student knows, and the hardest ones. Every probability is recorded, and a comparison weighs one over it, so that the
estimates stay unbiased; its floor bounds the weights. Strata in which the outcome varies most are drawn more often
(Cochran, Sampling Techniques, 1977, section 5.5), but with a ratio that does not depend on estimates. Pure.
"""

from __future__ import annotations

import msgspec

from breakeven.gateway.road.stages import Rates
from breakeven.router.policy import Assessment

# A request with at least this novelty, or a score among the hardest fifth, is of the stratum that is drawn more often.
NOVEL = 0.95
HARD = 0.8
STRATA_RATIO = 4.0
# The share of requests that this stratum is taken to have: with it the mean probability is the base rate.
_RARE_SHARE = 0.24
# Base rates above 0 are not below this, so that no weight is above 1 / (LEAST_RATE * _USUAL).
LEAST_RATE = 0.001
_USUAL = 1.0 / (1.0 - _RARE_SHARE + _RARE_SHARE * STRATA_RATIO)
# What is left is spent at this multiple of the even pace, which falls with it: labels are worth most early.
_HASTE = 2.0


def raised(sample: float) -> float:
    """The rate of comparing for what tells most, or costs little: ten times road.sample, at most 1."""
    return min(1.0, 10.0 * sample)


class Flow(msgspec.Struct, frozen=True):
    """What was seen of one direction: requests per second that could be compared, and USD for each comparison."""

    per_second: float = 0.0
    usd: float = 0.0


def probability(base: float, assessment: Assessment, hard: float = HARD) -> float:
    """The probability in [0, 1] with which to compare a request of this assessment, where all have the rate `base`.

    `hard` is the least score of the hardest fifth of the traffic.
    """
    if base >= 1.0:
        return 1.0
    often = most_probable(base)
    novelty = assessment.novelty
    if assessment.score >= hard or (novelty is not None and novelty >= NOVEL):
        return often
    return (base - _RARE_SHARE * often) / (1.0 - _RARE_SHARE)


def most_probable(base: float) -> float:
    """The largest probability that any request has at this rate; for all others no assessment is needed."""
    return min(1.0, base * _USUAL * STRATA_RATIO)


def rates_within(
    wanted: Rates, teacher_answered: Flow, student_answered: Flow, *, usd_left: float, seconds_left: float
) -> Rates:
    """The wanted rates, less where the comparisons would cost more than is left of the month's budget.

    `usd_left` is the budget's rest and `seconds_left` the time to the month's end. What costs nothing is not reduced;
    of the rest both directions are reduced by one factor, not below LEAST_RATE: the budget itself ends them.
    """
    paid = wanted.teacher_answered * teacher_answered.per_second * teacher_answered.usd
    paid += wanted.student_answered * student_answered.per_second * student_answered.usd
    allowed = _HASTE * max(0.0, usd_left) / max(1.0, seconds_left)
    if paid <= allowed:
        return wanted
    factor = allowed / paid
    return Rates(
        _reduced(wanted.teacher_answered, teacher_answered, factor),
        _reduced(wanted.student_answered, student_answered, factor),
    )


def _reduced(rate: float, flow: Flow, factor: float) -> float:
    return rate if flow.usd <= 0.0 else min(rate, max(LEAST_RATE, rate * factor))
