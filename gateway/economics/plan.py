"""Estimate what distilling would cost and save, and when it breaks even. Money is whole picodollars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import msgspec

from breakeven.gateway.accounting.prices import Price
from breakeven.gateway.economics.breakeven import payback_months
from breakeven.gateway.economics.periods import HOURS_A_MONTH

VOLUMES = (Fraction(1, 10), Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(5), Fraction(10))
SHARES = (Fraction(0), Fraction(1, 10), Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))


class Item(msgspec.Struct, frozen=True):
    """One part of the one-time cost, a range in picodollars; `high` equals `low` where the cost is known."""

    name: str
    low: int
    high: int


class Assumptions(msgspec.Struct, frozen=True, kw_only=True):
    """Monthly traffic, prices, hosting and one-time costs. Money is in picodollars.

    `input_tokens` include the cached ones. `teacher_share` of the tokens, in [0, 1], still goes to the teacher. A
    replica costs `hosting_per_hour`, used or idle, and serves at most `replica_tokens` a month (None: unknown, and
    `replicas` are enough). `student_per_million` is the price of a student that is billed by the token.
    """

    input_tokens: int
    cached_tokens: int = 0
    output_tokens: int
    teacher: Price
    teacher_share: Fraction
    hosting_per_hour: int = 0
    replicas: int = 1
    replica_tokens: int | None = None
    student_per_million: int = 0
    one_time: tuple[Item, ...] = ()

    @property
    def tokens(self) -> int:
        """Input and output tokens a month."""
        return self.input_tokens + self.output_tokens

    @property
    def low(self) -> int:
        """The lower end of the total one-time cost, in picodollars."""
        return sum(item.low for item in self.one_time)

    @property
    def high(self) -> int:
        """The upper end of the total one-time cost, in picodollars."""
        return sum(item.high for item in self.one_time)


class Plan(msgspec.Struct, frozen=True):
    """Monthly costs in picodollars without (`before`) and with the student, and the payback time in months.

    `payback_low` and `payback_high` are for the two ends of the one-time cost; None is never. `beats_api_at` is the
    monthly volume in tokens from which the student is cheaper than the teacher alone, at the same shares of input,
    cached and output tokens; None where it is so at no volume.
    """

    assumptions: Assumptions
    replicas: int
    before: int
    teacher_after: int
    student_after: int
    payback_low: float | None
    payback_high: float | None
    beats_api_at: int | None

    @property
    def after(self) -> int:
        """Monthly cost with the student, in picodollars."""
        return self.teacher_after + self.student_after

    @property
    def saved(self) -> int:
        """Monthly savings in picodollars; negative where the teacher alone is cheaper."""
        return self.before - self.after

    @property
    def pays(self) -> bool:
        """Whether the one-time cost is ever paid back."""
        return self.saved > 0


def plan(a: Assumptions) -> Plan:
    """Compute the plan for the assumptions. Raises ValueError for impossible ones, such as a negative price."""
    _check(a)
    before = _api(a)
    teacher_after = int(before * a.teacher_share)
    served = a.tokens * (1 - a.teacher_share)
    replicas = a.replicas
    if a.replica_tokens is not None and a.hosting_per_hour:
        replicas = max(replicas, math.ceil(served / a.replica_tokens))
    student_after = replicas * a.hosting_per_hour * HOURS_A_MONTH + int(served * a.student_per_million / 10**6)
    after = teacher_after + student_after
    return Plan(
        assumptions=a,
        replicas=replicas,
        before=before,
        teacher_after=teacher_after,
        student_after=student_after,
        payback_low=payback_months(a.low, before, after),
        payback_high=payback_months(a.high, before, after),
        beats_api_at=_beats_api_at(a),
    )


def dataset_cost(examples: int, input_tokens: int, output_tokens: int, price: Price) -> int:
    """The cost in picodollars of having the teacher answer `examples` prompts; token counts are per example."""
    return examples * (input_tokens * price.input + output_tokens * price.output)


def sensitivity(
    a: Assumptions, volumes: Sequence[Fraction] = VOLUMES, shares: Sequence[Fraction] = SHARES
) -> dict[tuple[Fraction, Fraction], Plan]:
    """Plans by (volume, teacher share); volumes are multiples of the assumed one, shares replace the assumed one."""
    return {(volume, share): plan(_scaled(a, volume, share)) for volume in volumes for share in shares}


def least_student_share(a: Assumptions, months: float | None = None) -> Fraction | None:
    """The smallest student's share of the tokens, in whole percents, at which distilling pays: at all, or within so
    many months at the higher one-time cost. None where it does at no share.
    """
    for percent in range(1, 101):
        made = plan(msgspec.structs.replace(a, teacher_share=1 - Fraction(percent, 100)))
        paid = made.payback_high
        if made.pays and (months is None or (paid is not None and paid <= months)):
            return Fraction(percent, 100)
    return None


def _scaled(a: Assumptions, volume: Fraction, share: Fraction) -> Assumptions:
    return msgspec.structs.replace(
        a,
        input_tokens=int(a.input_tokens * volume),
        cached_tokens=int(a.cached_tokens * volume),
        output_tokens=int(a.output_tokens * volume),
        teacher_share=share,
    )


def _api(a: Assumptions) -> int:
    fresh = a.input_tokens - a.cached_tokens
    return fresh * a.teacher.input + a.cached_tokens * a.teacher.cached_input + a.output_tokens * a.teacher.output


def _beats_api_at(a: Assumptions) -> int | None:
    """The volume in tokens a month where before = after; None where a replica at full load costs more than it saves."""
    if a.tokens == 0:
        return None
    student_share = 1 - a.teacher_share
    margin = student_share * (Fraction(_api(a), a.tokens) - Fraction(a.student_per_million, 10**6))
    if margin <= 0:
        return None
    hosting = a.hosting_per_hour * HOURS_A_MONTH
    if a.replica_tokens is not None and hosting / margin * student_share > a.replica_tokens:
        return None
    return math.ceil(a.replicas * hosting / margin)


def _check(a: Assumptions) -> None:
    for name in ("input_tokens", "cached_tokens", "output_tokens", "hosting_per_hour", "student_per_million"):
        if getattr(a, name) < 0:
            raise ValueError(f"{name} is negative")
    if a.cached_tokens > a.input_tokens:
        raise ValueError("cached tokens are part of the input tokens and cannot be more")
    if not 0 <= a.teacher_share <= 1:
        raise ValueError("teacher_share must be in [0, 1]")
    if a.replicas < 1 or (a.replica_tokens is not None and a.replica_tokens < 1):
        raise ValueError("replicas and replica_tokens must be at least 1")
    for item in a.one_time:
        if not 0 <= item.low <= item.high:
            raise ValueError(
                f"{item.name}: the range must go from a lower to a higher amount, neither of them negative"
            )
