"""How far a scorer of answers can be trusted: its verdicts on pairs that people judged as well.

Agreement is the share of pairs of which scorer and person say the same: the student's answer is better, the teacher's
is, or they are as good. Where the scorer gives both the full score it cannot say that one is better, so that a person
who prefers the student's answer does not contradict it.

Bias is how much kinder to the student the scorer is than people, in its own scores: 0 for a pair of which both say the
same, else the difference between the scores (student's less teacher's) and what the person's verdict is worth, the mean
difference of the scorer's where it finds one. The interval has two pairs added, one that the scorer is too kind in by
so much and one that it is too hard in: without them a few pairs without a contradiction would give one of zero width
(as in economics/quality.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from breakeven.gateway.config.schema import Config
from breakeven.router.statistics import Interval, proportion

# Pairs from which on people can hold a stage.
ENOUGH = 20
# A scorer that surely agrees with people on fewer pairs than this is not confirmed.
AGREEMENT = 0.7
_Z = 1.959964  # normal quantile of a two-sided 95% interval


class Verdict(StrEnum):
    """Which of the two answers is better; TIE: they are as good."""

    STUDENT = "student"
    TEACHER = "teacher"
    TIE = "tie"


_SIGNS = {Verdict.STUDENT: 1.0, Verdict.TIE: 0.0, Verdict.TEACHER: -1.0}


class Audited(NamedTuple):
    """A pair with the scorer's scores in [0, 1] and a person's verdict."""

    student_score: float
    teacher_score: float
    verdict: Verdict

    @property
    def difference(self) -> float:
        """The student's score less the teacher's."""
        return self.student_score - self.teacher_score

    @property
    def agrees(self) -> bool:
        """Whether the scores say what the person says."""
        if self.student_score == self.teacher_score:
            full = self.teacher_score >= 1.0
            return self.verdict is Verdict.TIE or (full and self.verdict is Verdict.STUDENT)
        return self.verdict is (Verdict.STUDENT if self.difference > 0.0 else Verdict.TEACHER)


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
    return f"the scorer {road.scorer}" if road.scorer != "judge" else f"the judge {road.judge or config.teacher.model}"


def trust(audited: Sequence[Audited]) -> Trust | None:
    """How far the scorer can be trusted; None without any pair."""
    if not audited:
        return None
    count = len(audited)
    found = [abs(one.difference) for one in audited if one.difference != 0.0]
    worth = math.fsum(found) / len(found) if found else 1.0
    too_kind = [0.0 if one.agrees else one.difference - worth * _SIGNS[one.verdict] for one in audited]
    mean = math.fsum(too_kind) / count
    padded = [*too_kind, worth, -worth]
    centre = math.fsum(padded) / len(padded)
    squares = math.fsum((one - centre) ** 2 for one in padded)
    half = _Z * math.sqrt(squares / (len(padded) - 1) / len(padded))
    bias = Interval(mean, min(mean, centre - half), max(mean, centre + half))
    return Trust(count, proportion(sum(one.agrees for one in audited), count), bias)
