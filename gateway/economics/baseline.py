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

    def plus(self, other: Traffic) -> Traffic:
        """Both together."""
        return Traffic(
            self.known + other.known,
            self.student_input + other.student_input,
            self.student_output + other.student_output,
        )


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
    """Teacher over student for prompts and answers, from `size` pairs, and the variance of an estimate with it: that
    of student traffic worth (i, o) is `ii * i * i + 2 * io * i * o + oo * o * o`, in picodollars squared.
    """

    input: float
    output: float
    size: int
    ii: float
    io: float
    oo: float

    def variance(self, input: float, output: float) -> float:
        """Of the estimate for student traffic worth `input` and `output`."""
        return self.ii * input * input + 2 * self.io * input * output + self.oo * output * output


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
        self._all = _ratio(pairs)

    def pooled(self, traffic: Traffic) -> Estimate:
        """The baseline of traffic of all keys together, from all pairs, in picodollars."""
        return self._estimate([(self._all, traffic)])

    def estimate(self, traffic: Mapping[str, Traffic]) -> Estimate:
        """The baseline of traffic by client key, each with its own ratio where it has pairs enough, in picodollars."""
        return self._estimate([(self._own.get(key, self._all), of) for key, of in traffic.items()])

    def value(self, traffic: Traffic) -> int:
        """The value alone of `pooled`."""
        return _value(self._all, traffic)

    def relative_error(self, traffic: Traffic) -> float:
        """The standard error of `pooled` over its estimated part, the requests that the student answered."""
        part = self.value(traffic) - traffic.known
        return math.sqrt(self._all.variance(traffic.student_input, traffic.student_output)) / part if part > 0 else 0.0

    def _estimate(self, parts: Sequence[tuple[_Ratio, Traffic]]) -> Estimate:
        spread: dict[int, tuple[_Ratio, float, float]] = {}
        for ratio, of in parts:
            _, input, output = spread.get(id(ratio), (ratio, 0.0, 0.0))
            spread[id(ratio)] = (ratio, input + of.student_input, output + of.student_output)
        # Keys that share a ratio share its error.
        variance = sum(ratio.variance(input, output) for ratio, input, output in spread.values())
        freedom = min((ratio.size for ratio, *_ in spread.values()), default=self.pairs) - 1
        half = round(_student(freedom) * math.sqrt(variance))
        value = sum(_value(ratio, of) for ratio, of in parts)
        return Estimate(value, max(sum(of.known for _, of in parts), value - half), value + half, self.pairs)


def usable(pairs: Sequence[PricedPair]) -> list[PricedPair]:
    """The pairs of which the student's tokens are worth anything."""
    return [pair for pair in pairs if pair.student_input > 0 and pair.student_output > 0]


def measure(pairs: Sequence[PricedPair]) -> Ratios | None:
    """None below LEAST_PAIRS usable pairs."""
    useful = usable(pairs)
    return Ratios(useful) if len(useful) >= LEAST_PAIRS else None


def _value(ratio: _Ratio, of: Traffic) -> int:
    return of.known + round(ratio.input * of.student_input + ratio.output * of.student_output)


def _ratio(pairs: Sequence[PricedPair]) -> _Ratio:
    inputs = math.fsum(pair.weight * pair.student_input for pair in pairs)
    outputs = math.fsum(pair.weight * pair.student_output for pair in pairs)
    input = math.fsum(pair.weight * pair.teacher_input for pair in pairs) / inputs
    output = math.fsum(pair.weight * pair.teacher_output for pair in pairs) / outputs
    ii = io = oo = 0.0
    for pair in pairs:
        # Divided by one minus its share in the sum, as the jackknife does: a pair that weighs much hides its own error.
        by_input = pair.weight * (pair.teacher_input - input * pair.student_input)
        by_input /= inputs - pair.weight * pair.student_input
        by_output = pair.weight * (pair.teacher_output - output * pair.student_output)
        by_output /= outputs - pair.weight * pair.student_output
        ii, io, oo = ii + by_input * by_input, io + by_input * by_output, oo + by_output * by_output
    more = len(pairs) / (len(pairs) - 1)
    return _Ratio(input, output, len(pairs), ii * more, io * more, oo * more)


def _student(freedom: int) -> float:
    """The 97.5% quantile of Student's t, by its expansion in the normal one (Abramowitz and Stegun, 26.7.5); right to
    three digits from ten degrees of freedom on.
    """
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
