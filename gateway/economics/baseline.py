"""The baseline: the bill that the teacher would have written for the same routed traffic, with its interval. Pure.

What the teacher answered is known to the picodollar. What the student answered is estimated: the teacher counts the
prompt with its own tokenizer and writes an answer of its own length, which is known only where both were asked, for the
compared pairs. Their ratio estimates the rest: teacher's cost over the student's tokens at the teacher's prices, for
prompts and for answers, of each stratum (a workload or client key, and a size of answer) that has pairs enough, and of
the others together. So pairs need not come from the same mix as the traffic that they stand for.

The estimator is the separate ratio estimator of survey sampling, each pair weighted by one over the probability that it
was drawn (Hajek); its variance is the jackknife's, linearised, and the interval Student's, with the degrees of freedom
that the variance's own variance gives (Satterthwaite): few where a few long answers make most of it. Sources: Cochran,
Sampling Techniques, 1977, sections 5.4 and 6.3 to 6.11; Sarndal, Swensson and Wretman, Model Assisted Survey Sampling,
1992, section 7.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.economics.traffic import Stratum, Traffic, stratum

# Fewer pairs give no figure: with heavy-tailed lengths an interval from a handful does not hold what it promises.
LEAST_PAIRS = 50
_Z = NormalDist().inv_cdf(0.975)


class PricedPair(NamedTuple):
    """One compared request: the student's tokens at the teacher's prices, what the teacher's own answer cost, both for
    prompt and answer in picodollars, one over the probability that it was drawn, the client key's name, the workload,
    the size class of the student's answer, and whether that was the one that the client got.
    """

    key: str
    student_input: int
    student_output: int
    teacher_input: int
    teacher_output: int
    weight: float
    workload: str = DEFAULT_WORKLOAD
    size: int = 0
    served: bool = True


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
    """Teacher over student for prompts and answers, from `size` pairs, and the error of an estimate with it.

    The estimate for student traffic worth (i, o) has the error `x * i + y * o` from a pair: `second` are the sums of
    x * x, x * y and y * y over the pairs, `fourth` those of x**4, x**3 * y, and so on to y**4.
    """

    input: float
    output: float
    size: int
    second: tuple[float, ...]
    fourth: tuple[float, ...]

    def variance(self, input: float, output: float) -> float:
        """Of the estimate for student traffic worth `input` and `output`, in picodollars squared."""
        return _power(self.second, input, output) * self.size / (self.size - 1)

    def freedom(self, input: float, output: float) -> float:
        """The degrees of freedom of that variance, from its own: few where a few pairs make most of it."""
        second, fourth = _power(self.second, input, output), _power(self.fourth, input, output)
        spread = fourth / second**2 - 1 / self.size if second > 0 else 0.0
        return min(self.size - 1, 2 / spread) if spread > 0 else self.size - 1


class Ratios:
    """What the pairs say of each stratum. Use `measure`, which gives None where they are too few."""

    def __init__(self, pairs: Sequence[PricedPair]) -> None:
        self.pairs = len(pairs)
        apart, whole = _groups(pairs)
        self._of = {group: _ratio(found) for group, found in (apart | whole).items()}
        self._whole = frozenset(self._of[group] for group in whole)

    @property
    def keys(self) -> frozenset[str]:
        """The client keys whose traffic in the default workload has a ratio of its own."""
        return frozenset(str(group[1]) for group in self._of if group)

    def estimate(self, traffic: Traffic) -> Estimate:
        """The baseline of traffic, in picodollars, each stratum with its own ratio where it has pairs enough."""
        spread = list(self._spread(traffic))
        variances = [(ratio.variance(*of), ratio.freedom(*of)) for ratio, *of in spread]
        total = sum(variance for variance, _ in variances)
        half = 0
        if total > 0:
            freedom = total**2 / sum(variance**2 / own for variance, own in variances)
            half = round(_student(freedom) * self._error(spread))
        value = traffic.known + _expected(spread)
        return Estimate(value, max(traffic.known, value - half), value + half, self.pairs)

    def value(self, traffic: Traffic) -> int:
        """The value alone of `estimate`."""
        return traffic.known + _expected(self._spread(traffic))

    def expected(self, traffic: Traffic) -> float:
        """The same, not rounded."""
        found = float(traffic.known)
        for of, (input, output) in traffic.student.items():
            ratio = self._ratio(of)
            found += ratio.input * input + ratio.output * output
        return found

    def relative_error(self, traffic: Traffic) -> float:
        """The standard error of `estimate` over its estimated part, the requests that the student answered."""
        spread = list(self._spread(traffic))
        part = _expected(spread)
        return self._error(spread) / part if part > 0 else 0.0

    def _spread(self, traffic: Traffic) -> Iterable[tuple[_Ratio, int, int]]:
        """Each ratio with the prompts and answers that it stands for: strata with one ratio share its error."""
        sums: dict[_Ratio, tuple[int, int]] = {}
        for of, (input, output) in traffic.student.items():
            ratio = self._ratio(of)
            before = sums.get(ratio, (0, 0))
            sums[ratio] = before[0] + input, before[1] + output
        return ((ratio, *of) for ratio, of in sums.items())

    def _ratio(self, of: Stratum) -> _Ratio:
        return self._of.get(of) or self._of.get(of[:2]) or self._of[()]

    def _error(self, spread: Sequence[tuple[_Ratio, int, int]]) -> float:
        """The standard error. Ratios that share no pair have independent errors; that of a whole is added as if it were
        the same as that of its parts.
        """
        apart = sum(ratio.variance(*of) for ratio, *of in spread if ratio not in self._whole)
        whole = (math.sqrt(ratio.variance(*of)) for ratio, *of in spread if ratio in self._whole)
        return math.sqrt(apart) + sum(whole)


def usable(pairs: Sequence[PricedPair]) -> list[PricedPair]:
    """The pairs of which the student's tokens are worth anything."""
    return [pair for pair in pairs if pair.student_input > 0 and pair.student_output > 0]


def measure(pairs: Sequence[PricedPair]) -> Ratios | None:
    """None below LEAST_PAIRS usable pairs.

    What is estimated are requests that the student served: where pairs of these are enough, the others do not count.
    """
    useful = usable(pairs)
    served = [pair for pair in useful if pair.served]
    if len(served) >= LEAST_PAIRS:
        return Ratios(served)
    return Ratios(useful) if len(useful) >= LEAST_PAIRS else None


_Group = tuple[str | int, ...]  # (workload, key, size), (workload, key) or ()


def _groups(pairs: Sequence[PricedPair]) -> tuple[dict[_Group, list[PricedPair]], dict[_Group, list[PricedPair]]]:
    """Groups that share no pair, each with LEAST_PAIRS: strata; under (workload, key) those of its sizes that have
    fewer; under () those of the workloads and keys that have fewer. And wholes, (workload, key) or (), where none has
    fewer: for what has no pairs at all.
    """
    apart: dict[_Group, list[PricedPair]] = {}
    whole: dict[_Group, list[PricedPair]] = {}
    labels, rest = _split(pairs, lambda pair: stratum(pair.workload, pair.key, 0)[:2])
    for label, found in labels.items():
        sizes, others = _split(found, lambda pair: (pair.size,))
        if len(sizes) + bool(others) == 1:
            apart[label] = found
            continue
        apart |= {(*label, *size): of for size, of in sizes.items()}
        (apart if others else whole)[label] = others or found
    (apart if rest else whole)[()] = rest or list(pairs)
    return apart, whole


def _split(
    pairs: Sequence[PricedPair], of: Callable[[PricedPair], _Group]
) -> tuple[dict[_Group, list[PricedPair]], list[PricedPair]]:
    """The pairs of each group that has LEAST_PAIRS, and all others: where these are fewer, the smallest groups join
    them.
    """
    groups: dict[_Group, list[PricedPair]] = {}
    for pair in pairs:
        groups.setdefault(of(pair), []).append(pair)
    rest: list[PricedPair] = []
    for group in sorted(groups, key=lambda one: (len(groups[one]), str(one))):
        if len(groups[group]) < LEAST_PAIRS or 0 < len(rest) < LEAST_PAIRS:
            rest += groups.pop(group)
    return groups, rest


def _expected(spread: Iterable[tuple[_Ratio, int, int]]) -> int:
    return sum(round(ratio.input * input + ratio.output * output) for ratio, input, output in spread)


def _ratio(pairs: Sequence[PricedPair]) -> _Ratio:
    weight, *values = np.array([(pair.weight, *pair[1:5]) for pair in pairs], dtype=float).T
    student, teacher = (weight * np.array(side) for side in (values[:2], values[2:]))
    totals = student.sum(axis=1)
    ratios = teacher.sum(axis=1) / totals
    # Divided by one minus its share in the sum, as the jackknife does: a pair that weighs much hides its own error.
    x, y = (teacher - ratios[:, None] * student) / (totals[:, None] - student)
    second = tuple(float((x ** (2 - index) * y**index).sum()) for index in range(3))
    fourth = tuple(float((x ** (4 - index) * y**index).sum()) for index in range(5))
    return _Ratio(float(ratios[0]), float(ratios[1]), len(pairs), second, fourth)


def _power(sums: Sequence[float], input: float, output: float) -> float:
    """The sum of (x * input + y * output)**n over pairs, n being 2 or 4, from the sums of the powers of x and y."""
    n = len(sums) - 1
    return sum(math.comb(n, index) * of * input ** (n - index) * output**index for index, of in enumerate(sums))


def _student(freedom: float) -> float:
    """The 97.5% quantile of Student's t, by its expansion in the normal one (Abramowitz and Stegun, 26.7.5); right to
    three digits from ten degrees of freedom on.
    """
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
