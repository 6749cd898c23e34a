"""How far a scorer of answers can be trusted: its verdicts on pairs that people judged as well.

Agreement is the share of pairs of which scorer and person say the same: the student's answer is better, the teacher's
is, or they are as good. Where the scorer gives both the full score it cannot say that one is better, so that a person
who prefers the student's answer does not contradict it.

Bias is how much kinder to the student the scorer is than people, in its own scores: 0 for a pair of which both say the
same, else the difference between the scores (student's less teacher's) and what the person's verdict is worth, the mean
difference of the scorer's where it finds one. The interval has two pairs added, one that the scorer is too kind in by
so much and one that it is too hard in: without them a few pairs without a contradiction would give one of zero width
(as in router/statistics.py). A pair that was chosen for its size (road/choosing.py) counts one over its probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from breakeven.gateway.config.schema import Config
from breakeven.router.corrected import SIGNS, agrees
from breakeven.router.statistics import Interval, Z, proportion

# Pairs from which on people can hold a stage.
ENOUGH = 20
# A scorer that surely agrees with people on fewer pairs than this is not confirmed.
AGREEMENT = 0.7


class Verdict(StrEnum):
    """Which of the two answers is better; TIE: they are as good."""

    STUDENT = "student"
    TEACHER = "teacher"
    TIE = "tie"


class Audited(NamedTuple):
    """A pair with the scorer's scores in [0, 1] and a person's verdict. `chosen`: the probability with which the person
    was to be asked about it, up to a factor that is the same for all.
    """

    student_score: float
    teacher_score: float
    verdict: Verdict
    chosen: float = 1.0

    @property
    def difference(self) -> float:
        """The student's score less the teacher's."""
        return self.student_score - self.teacher_score

    @property
    def agrees(self) -> bool:
        """Whether the scores say what the person says."""
        return agrees(self.student_score, self.teacher_score, self.verdict)


class Trust(NamedTuple):
    """What `pairs` that people judged say of a scorer; both intervals are of 95%. `bias`: above 0 it is kinder to the
    student than people are.
    """

    pairs: int
    agreement: Interval
    bias: Interval

    def confirmed(self, floor: float) -> bool | None:
        """Whether people confirm the scorer as far as a floor needs it; None before there are ENOUGH pairs."""
        if self.pairs < ENOUGH:
            return None
        return self.agreement.high >= AGREEMENT and self.bias.low <= 1.0 - floor

    def text(self, scorer: str, floor: float) -> str:
        """For people. `scorer`: the scorer in words."""
        agreement = self.agreement
        said = (
            f"on {self.pairs} pair{'s' if self.pairs > 1 else ''} {scorer} agrees with people on {agreement.value:.0%} "
            f"({agreement.low:.0%} to {agreement.high:.0%}); {self._bias()}; "
        )
        confirmed = self.confirmed(floor)
        if confirmed is None:
            return f"{said}with fewer than {ENOUGH} pairs that decides nothing"
        if confirmed:
            return f"{said}people do not refute it for a floor of {floor:.1%}"
        return f"{said}people do not confirm it for a floor of {floor:.1%}, and the stage does not advance"

    def _bias(self) -> str:
        value, low, high = self.bias
        if round(value, 2) < 0.0:
            return f"it is harder on the student by {-value:.2f} ({-high:.2f} to {-low:.2f})"
        return f"it is kinder to the student by {abs(value):.2f} ({low:.2f} to {high:.2f})"


def scorer_of(config: Config) -> str:
    """What scores the answers, in words."""
    road = config.road
    if road.scorer != "judge":
        return f"the scorer {road.scorer}"
    names = road.judges or (config.teacher.model,)
    return f"the judge {names[0]}" if len(names) == 1 else f"the {road.panel} of the judges {', '.join(names)}"


def trust(audited: Sequence[Audited]) -> Trust | None:
    """How far the scorer can be trusted; None without any pair."""
    if not audited:
        return None
    count = len(audited)
    found = [abs(one.difference) for one in audited if one.difference != 0.0]
    worth = math.fsum(found) / len(found) if found else 1.0
    too_kind = [0.0 if one.agrees else one.difference - worth * SIGNS[one.verdict] for one in audited]
    shares = _normalised([1.0 / one.chosen for one in audited])
    mean = _sum_of_products(shares, too_kind)
    padded, parts = [*too_kind, worth, -worth], _normalised([*shares, 1.0 / count, 1.0 / count])
    centre = _sum_of_products(parts, padded)
    squares = math.fsum((part * (one - centre)) ** 2 for one, part in zip(padded, parts, strict=True))
    half = Z * math.sqrt(squares * len(padded) / (len(padded) - 1))
    bias = Interval(mean, min(mean, centre - half), max(mean, centre + half))
    # As many pairs of equal weight would say as much (Kish, Survey Sampling, 1965).
    effective = 1.0 / math.fsum(share * share for share in shares)
    agreeing = math.fsum(share for share, one in zip(shares, audited, strict=True) if one.agrees)
    return Trust(count, proportion(min(1.0, agreeing) * effective, effective), bias)


def _normalised(values: Sequence[float]) -> list[float]:
    whole = math.fsum(values)
    return [value / whole for value in values]


def _sum_of_products(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(left * right for left, right in zip(one, other, strict=True))
