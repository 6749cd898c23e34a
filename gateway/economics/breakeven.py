"""Baseline of a request, and payback: integer arithmetic in picodollars and microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from breakeven.gateway.accounting.prices import Cost, Price, cost
from breakeven.gateway.accounting.record import AttemptRecord
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.economics.baseline import Ratios
from breakeven.gateway.economics.hosting import Hosting
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.economics.totals import Hour
from breakeven.gateway.economics.traffic import Value, size_of
from breakeven.router.policy import Route


def baseline(attempts: Sequence[AttemptRecord], price: Price, *, pinned: bool) -> int:
    """The tokens of a request at the teacher's prices, in picodollars; 0 where it was pinned. That is the teacher's own
    bill where the teacher answered; of the student's answers `student_value` is the part to be estimated.

    The tokens are those of the answer that the client got: the last attempt that reported any. Failed attempts before
    it do not count, since a client that uses only the teacher would not have made them.
    """
    answer = _answer(attempts)
    return 0 if pinned or answer is None else cost(answer.usage, price).total


class Baseline(NamedTuple):
    """The baseline of one request, and the parts of it that the student's tokens stand for; picodollars."""

    total: int
    input: int
    output: int


def baseline_of(attempts: Sequence[AttemptRecord], price: Price, *, pinned: bool) -> Baseline:
    """The baseline of a request and its parts, see `baseline` and `student_value`."""
    answer = _answer(attempts)
    if pinned or answer is None:
        return Baseline(0, 0, 0)
    if answer.upstream is Route.TEACHER and not answer.provider:
        # What was paid at this price.
        return Baseline(answer.cost.total, 0, 0)
    of = cost(answer.usage, price)
    if answer.upstream is not Route.STUDENT:
        return Baseline(of.total, 0, 0)
    student = _value(of)
    return Baseline(student.input + student.output or of.total, student.input, student.output)


def value(usage: Usage, price: Price) -> Value:
    """What usage is worth at a price, by prompt and answer."""
    return _value(cost(usage, price))


def student_value(attempts: Sequence[AttemptRecord], price: Price, *, pinned: bool) -> Value:
    """The part of the baseline, in picodollars, that the student's own tokens stand for; 0 for a teacher's answer.

    A teacher would have counted the prompt otherwise and written an answer of another length: `baseline.py` says how
    much.
    """
    answer = _answer(attempts)
    if pinned or answer is None or answer.upstream is not Route.STUDENT:
        return Value(0, 0)
    return value(answer.usage, price)


def answer_size(attempts: Sequence[AttemptRecord]) -> int:
    """The size class of the student's answer, see `traffic.size_of`; 0 where the teacher answered or nobody did."""
    answer = _answer(attempts)
    return 0 if answer is None or answer.upstream is not Route.STUDENT else size_of(answer.usage.output)


def _value(of: Cost) -> Value:
    return Value(of.input + of.cached_input + of.cache_write, of.output)


def _answer(attempts: Sequence[AttemptRecord]) -> AttemptRecord | None:
    for attempt in reversed(attempts):
        if attempt.usage.prompt or attempt.usage.output:
            return attempt
    return None


def per_million(hosting: int, tokens: int) -> Fraction | None:
    """The student's effective price: hosting over tokens served, in picodollars per million; None without tokens."""
    return Fraction(hosting * 10**6, tokens) if tokens > 0 else None


def payback_ratio(savings: int, investment: int) -> float | None:
    """Savings divided by investment; None where nothing was invested."""
    return savings / investment if investment > 0 else None


def payback_months(investment: int, monthly_before: int, monthly_after: int) -> float | None:
    """Months until the monthly savings, `monthly_before - monthly_after`, add up to the investment; None for never."""
    saved = monthly_before - monthly_after
    return investment / saved if saved > 0 else None


def payback_moment(hours: Iterable[Hour], hosting: Hosting, investment: int, now: int, ratios: Ratios) -> int | None:
    """The end of the first hour in which cumulative savings, as estimated, had reached the investment.

    In microseconds since the epoch; None where that has not happened yet. `hours` are in order of time.
    """
    if investment <= 0:
        return None
    gross = 0.0
    for hour in hours:
        gross += ratios.expected(hour.traffic) - hour.spend
        end = min((hour.hour + 1) * HOUR, now)
        if gross >= investment and gross - hosting.cost(0, end) >= investment:
            return end
    return None
