"""Which compared pairs people are asked about: those whose labels narrow the corrected interval most.

The error of a mean over labels is smallest if pairs are chosen with probabilities in proportion to how much the scorer
may err on them, times their weight (Neyman, Journal of the Royal Statistical Society 97, 1934; as "active statistical
inference", Zrnic and Candès, arXiv 2403.03208, 2024). Each label counts one over its probability, so that the choice
biases nothing.

Every pair has a number of its own, drawn once: a hash of its id. Its priority is that number over its size, and pairs
are asked in the order of priority (Duffield, Lund and Thorup, "Priority sampling", Journal of the ACM 54, 2007). So
those asked so far are a sample with known probabilities wherever a person stops, and a later session goes on with it:
a pair of this size was to be asked with probability `chosen(size, threshold)`, where the threshold is the priority of
the first pair that was not reached.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# The error to be expected where people and the scorer differ, with how often they do, in units of what a preference is
# worth. Only the proportions matter, and wrong ones make intervals wider, not wrong.
_AGAINST_ITSELF = 0.7  # the judge's verdict depends on the order: half of its ties may be none
_DECIDED = 0.45  # one in eight is wrong, by one preference or by two
_TIE = 0.3  # one in ten is none
_SAME_TEXT = 0.15


def size(student: float, teacher: float, weight: float, *, consistent: bool = True, same_text: bool = False) -> float:
    """How much the scorer may err on a pair with these scores in [0, 1], times its weight, above 0."""
    if same_text:
        return weight * _SAME_TEXT
    if not consistent:
        return weight * _AGAINST_ITSELF
    return weight * (_TIE if student == teacher else _DECIDED)


def priority(request: str, of: float) -> float:
    """The priority of the pair of a request, of this size; the lowest is asked first."""
    drawn = int(hashlib.sha256(f"label:{request}".encode()).hexdigest()[:13], 16) / 16**13
    return (drawn + 16**-13) / of


def chosen(of: float, threshold: float) -> float:
    """The probability with which a pair of this size had a priority below the threshold."""
    return min(1.0, of * threshold)


class Candidate(NamedTuple):
    """A pair that a person can be asked about: its request, and its size. `labelled`: whether somebody judged it."""

    request: str
    size: float
    labelled: bool


class Queue:
    """Pairs in the order in which people are asked about them. `waiting` are those that nobody has judged, `before`
    those that somebody has: later ones make it more likely to have been asked about them.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        ordered = sorted((priority(one.request, one.size), one) for one in candidates)
        waiting = [(at, one.request) for at, one in ordered if not one.labelled]
        self.waiting = [request for _, request in waiting]
        self.before = [one.request for one in candidates if one.labelled]
        self._place = {one.request: place for place, (_, one) in enumerate(ordered)}
        self._ends = [at for at, _ in waiting] + [math.inf]
        self._sizes = {one.request: one.size for one in candidates}

    def after(self, skipped: str | None) -> list[str]:
        """Those that wait and come after the pair that was skipped last; all, where none was."""
        place = -1 if skipped is None else self._place.get(skipped, -1)
        return [one for one in self.waiting if self._place[one] > place]

    def passed(self, request: str, skipped: str | None) -> int | None:
        """How many of those that wait are passed with this one; None if it is not the first one after the pair that was
        skipped last.
        """
        if self.after(skipped)[:1] != [request]:
            return None
        return self.waiting.index(request) + 1

    def probabilities(self, passed: int, judged: Iterable[str]) -> dict[str, float]:
        """With which probability each of the `judged` pairs was to be asked about by now, after the first `passed` ones
        that wait. In an earlier session it may have been more likely.
        """
        if not passed:
            return {}
        threshold = self._ends[passed]
        return {one: chosen(self._sizes[one], threshold) for one in judged}


class Session(Queue):
    """The pairs that a person is asked about, `count` at most, one after the other."""

    def __init__(self, candidates: Sequence[Candidate], count: int) -> None:
        super().__init__(candidates)
        self.asked = self.waiting[:count]
