"""Routed traffic, as the baseline is estimated from it: what is known, and the rest by stratum. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD

# Classes of size: student answers of at most so many tokens, and class 4 for longer ones. 0: not known.
_SIZES = (64, 256, 1024)


class Stratum(NamedTuple):
    """Requests that are alike: a workload, within the default one a client key, and the student's answer's size class.

    Made by `stratum`.
    """

    workload: str
    key: str
    size: int


def stratum(workload: str, key: str, size: int) -> Stratum:
    """The stratum of a request. A named workload is one, whoever sends it."""
    return Stratum(workload, key if workload == DEFAULT_WORKLOAD else "", size)


UNDIVIDED = stratum(DEFAULT_WORKLOAD, "", 0)


class Value(NamedTuple):
    """Picodollars of prompts and of answers."""

    input: int
    output: int


class Traffic(NamedTuple):
    """Routed traffic in picodollars: `known` is what the teacher charged for the requests that it answered, `student`
    the student's tokens at the teacher's prices for the others.
    """

    known: int
    student: Mapping[Stratum, Value]

    @property
    def upper_bound(self) -> int:
        """The bill for the student's own tokens: no estimate, and never called one."""
        return self.known + sum(one.input + one.output for one in self.student.values())


NO_TRAFFIC = Traffic(0, {})


def traffic(known: int, input: int, output: int, of: Stratum = UNDIVIDED) -> Traffic:
    """Traffic of one stratum, in picodollars."""
    return Traffic(known, {of: Value(input, output)} if input or output else {})


def together(parts: Iterable[Traffic]) -> Traffic:
    """All parts in one."""
    known = 0
    student: dict[Stratum, Value] = {}
    for part in parts:
        known += part.known
        for of, value in part.student.items():
            before = student.get(of)
            more = value if before is None else Value(before.input + value.input, before.output + value.output)
            student[of] = more
    return Traffic(known, student)


def size_of(tokens: int) -> int:
    """The size class of a student's answer of so many tokens: 1 to 4."""
    return 1 + sum(tokens > most for most in _SIZES)
