"""What distilling would cost and save, before anything is built. Pure; money is whole picodollars."""

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
    """One part of the one-time cost, in picodollars; `high` is `low` where it is known."""

    name: str
    low: int
    high: int


class Assumptions(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic of one month and what things cost.

    `input_tokens` has the cached ones among them. `teacher_share` of the tokens still goes to the teacher.
    A replica costs `hosting_per_hour`, used or idle, and serves `replica_tokens` a month at most (None: not
    known, `replicas` is enough). `student_per_million` is for a student that is paid for by the token.
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
        """Tokens a month, of all kinds together."""
        return self.input_tokens + self.output_tokens

    @property
    def low(self) -> int:
        """The least that it costs once."""
        return sum(item.low for item in self.one_time)

    @property
    def high(self) -> int:
        """The most that it costs once."""
        return sum(item.high for item in self.one_time)


class Plan(msgspec.Struct, frozen=True):
    """Picodollars a month both ways, and months until the one-time cost is paid back (None: never).

    `beats_api_at` is the monthly volume in tokens from which the student is cheaper than the teacher alone,
    with the same mix of tokens; None where no volume does it.
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
        """Picodollars a month with the student."""
        return self.teacher_after + self.student_after

    @property
    def saved(self) -> int:
        """Picodollars saved a month; negative where the teacher alone is cheaper."""
        return self.before - self.after

    @property
    def pays(self) -> bool:
        """Whether the one-time cost ever comes back."""
        return self.saved > 0


def plan(a: Assumptions) -> Plan:
    """Work it out. Raises ValueError for assumptions that cannot be."""
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
    """Picodollars for having the teacher answer `examples` prompts; tokens are those of one example."""
    return examples * (input_tokens * price.input + output_tokens * price.output)


def sensitivity(
    a: Assumptions, volumes: Sequence[Fraction] = VOLUMES, shares: Sequence[Fraction] = SHARES
) -> dict[tuple[Fraction, Fraction], Plan]:
    """The plan at other volumes (as multiples of the assumed one) and other teacher shares."""
    return {(volume, share): plan(_scaled(a, volume, share)) for volume in volumes for share in shares}


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
    """Where before = after. Each replica pays for itself alike, so one that cannot, when full, never can."""
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
        raise ValueError("a replica must be there and serve tokens")
    for item in a.one_time:
        if not 0 <= item.low <= item.high:
            raise ValueError(f"{item.name}: must be from a lower to a higher amount, none negative")
