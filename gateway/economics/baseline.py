"""The baseline: the bill that the teacher would have written for the same routed traffic, with its interval. Pure.

What the teacher answered is known to the picodollar. What the student answered is estimated: the teacher counts the
prompt with its own tokenizer and writes an answer of its own length, which is known only where both were asked, for the
compared pairs. Their ratio estimates the rest: teacher's cost over the student's tokens at the teacher's prices, for
prompts and for answers, of each client key that has pairs enough, and of all others together.

The estimator is the separate ratio estimator of survey sampling, each pair weighted by one over the probability that it
was drawn (Hajek); its variance is the jackknife's, linearised, and the interval Student's (Cochran, Sampling
Techniques, 1977, sections 6.3 to 6.11; Sarndal, Swensson and Wretman, Model Assisted Survey Sampling, 1992,
section 7.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

# Fewer pairs give no figure: with heavy-tailed lengths an interval from a handful does not hold what it promises.
LEAST_PAIRS = 50
_Z = NormalDist().inv_cdf(0.975)


class PricedPair(NamedTuple):
    """One compared request: the student's tokens at the teacher's prices, what the teacher's own answer cost, both for
    prompt and answer in picodollars, one over the probability that it was drawn, and the client key's name.
    """

    key: str
    student_input: int
    student_output: int
    teacher_input: int
    teacher_output: int
    weight: float


class Traffic(NamedTuple):
    """Routed traffic in picodollars: `known` is what the teacher charged for the requests that it answered, the others
    are the student's tokens at the teacher's prices.
    """

    known: int
    student_input: int
    student_output: int

    @property
    def upper_bound(self) -> int:
        """The bill for the student's own tokens: no estimate, and never called one."""
        return self.known + self.student_input + self.student_output


class Estimate(NamedTuple):
    """Picodollars and their 95% interval, from `pairs` compared requests."""

    value: int
    low: int
    high: int
    pairs: int

    def less(self, amount: int) -> Estimate:
        """With an exactly known amount taken off."""
        return Estimate(self.value - amount, self.low - amount, self.high - amount, self.pairs)


class _Ratio(NamedTuple):
    """Teacher over student for prompts and answers, and the pairs that say so."""

    input: float
    output: float
    pairs: Sequence[PricedPair]


class Ratios:
    """What the pairs say of every key. Use `measure`, which gives None where they are too few."""

    def __init__(self, pairs: Sequence[PricedPair]) -> None:
        by_key: dict[str, list[PricedPair]] = {}
        for pair in pairs:
            by_key.setdefault(pair.key, []).append(pair)
        own = {key: found for key, found in by_key.items() if len(found) >= LEAST_PAIRS}
        self.pairs = len(pairs)
        self._own = {key: _ratio(found) for key, found in own.items()}
        # A key with few pairs of its own is like all the traffic.
        self._others = _ratio(pairs)

    def estimate(self, traffic: Mapping[str, Traffic]) -> Estimate:
        """The baseline of traffic by client key, in picodollars."""
        value = 0
        spread: dict[int, tuple[_Ratio, float, float]] = {}
        for key, of in traffic.items():
            ratio = self._own.get(key, self._others)
            value += of.known + round(ratio.input * of.student_input + ratio.output * of.student_output)
            _, input, output = spread.get(id(ratio), (ratio, 0.0, 0.0))
            spread[id(ratio)] = (ratio, input + of.student_input, output + of.student_output)
        # Keys that share a ratio share its error.
        variance = sum(_variance(*one) for one in spread.values())
        freedom = min((len(ratio.pairs) for ratio, *_ in spread.values()), default=self.pairs) - 1
        half = round(_student(freedom) * math.sqrt(variance))
        known = sum(of.known for of in traffic.values())
        return Estimate(value, max(known, value - half), value + half, self.pairs)

    def worth(self, key: str, input: int, output: int) -> int:
        """What this much of the student's traffic would have cost at the teacher: the estimate's own value."""
        ratio = self._own.get(key, self._others)
        return round(ratio.input * input + ratio.output * output)


def measure(pairs: Sequence[PricedPair]) -> Ratios | None:
    """None below LEAST_PAIRS pairs of which the student's tokens are worth anything."""
    useful = [pair for pair in pairs if pair.student_input > 0 and pair.student_output > 0]
    return Ratios(useful) if len(useful) >= LEAST_PAIRS else None


def _ratio(pairs: Sequence[PricedPair]) -> _Ratio:
    input = math.fsum(pair.weight * pair.teacher_input for pair in pairs)
    output = math.fsum(pair.weight * pair.teacher_output for pair in pairs)
    return _Ratio(
        input / math.fsum(pair.weight * pair.student_input for pair in pairs),
        output / math.fsum(pair.weight * pair.student_output for pair in pairs),
        pairs,
    )


def _variance(ratio: _Ratio, input: float, output: float) -> float:
    """Of the estimate for student traffic worth `input` and `output`, in picodollars squared."""
    pairs, count = ratio.pairs, len(ratio.pairs)
    inputs = math.fsum(pair.weight * pair.student_input for pair in pairs)
    outputs = math.fsum(pair.weight * pair.student_output for pair in pairs)
    squares = 0.0
    for pair in pairs:
        # Divided by one minus its share in the sum, as the jackknife does: a pair that weighs much hides its own error.
        by_input = pair.weight * (pair.teacher_input - ratio.input * pair.student_input)
        by_input *= input / (inputs - pair.weight * pair.student_input)
        by_output = pair.weight * (pair.teacher_output - ratio.output * pair.student_output)
        by_output *= output / (outputs - pair.weight * pair.student_output)
        squares += (by_input + by_output) ** 2
    return squares * count / (count - 1)


def _student(freedom: int) -> float:
    """The 97.5% quantile of Student's t, by its expansion in the normal one (Abramowitz and Stegun, 26.7.5); right to
    three digits from ten degrees of freedom on.
    """
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
