"""The plan: worked examples, the break-even volume, and impossible assumptions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.gateway.accounting.money import picodollars
from breakeven.gateway.accounting.prices import price
from breakeven.gateway.economics.periods import HOURS_A_MONTH
from breakeven.gateway.economics.plan import Assumptions, Item, dataset_cost, plan, sensitivity

USD = 10**12
PRICE = price(Decimal("15"), None, Decimal("60"))

WORKED = Assumptions(
    input_tokens=100_000_000,
    output_tokens=0,
    teacher=PRICE,
    teacher_share=Fraction(0),
    student_per_million=USD // 2,
    one_time=(Item("investment", 500 * USD, 5000 * USD),),
)
HOSTED = Assumptions(
    input_tokens=8_000_000,
    output_tokens=2_000_000,
    teacher=PRICE,
    teacher_share=Fraction(1, 5),
    hosting_per_hour=picodollars(Decimal("1.2")),
    one_time=(Item("data", 375 * USD, 375 * USD),),
)


def test_the_worked_example() -> None:
    worked = plan(WORKED)
    assert (worked.before, worked.after) == (1500 * USD, 50 * USD)
    assert worked.payback_low == pytest.approx(500 / 1450)
    assert worked.payback_high == pytest.approx(5000 / 1450)
    assert worked.pays


def test_at_low_volume_the_teacher_alone_is_cheaper() -> None:
    low = plan(HOSTED)
    assert (low.before, low.teacher_after, low.student_after) == (240 * USD, 48 * USD, 876 * USD)
    assert not low.pays
    assert (low.payback_low, low.payback_high) == (None, None)
    # 876 USD a month over 0.8 of 24 USD per million.
    assert low.beats_api_at == 45_625_000


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.fractions(0, 1), st.integers(1, 10**13))
def test_the_break_even_volume(tokens_in: int, tokens_out: int, share: Fraction, hourly: int) -> None:
    at = Assumptions(
        input_tokens=tokens_in, output_tokens=tokens_out, teacher=PRICE, teacher_share=share, hosting_per_hour=hourly
    )
    volume = plan(at).beats_api_at
    if share == 1:
        assert volume is None
        return
    assert volume is not None
    assert plan(at).pays == (at.tokens * _margin(at) > hourly * HOURS_A_MONTH)
    assert (volume - 1) * _margin(at) < hourly * HOURS_A_MONTH <= volume * _margin(at)


def _margin(a: Assumptions) -> Fraction:
    before = a.input_tokens * a.teacher.input + a.output_tokens * a.teacher.output
    return (1 - a.teacher_share) * Fraction(before, a.tokens)


def test_replicas_that_cost_more_than_they_save_at_full_load() -> None:
    slow = msgspec.structs.replace(HOSTED, replica_tokens=1_000_000)
    assert plan(slow).replicas == 8
    assert plan(slow).beats_api_at is None
    fast = msgspec.structs.replace(HOSTED, replica_tokens=100_000_000)
    assert plan(fast).replicas == 1
    assert plan(fast).beats_api_at == 45_625_000


def test_the_dataset_is_generated_by_the_teacher() -> None:
    assert dataset_cost(10_000, 500, 500, PRICE) == 375 * USD


def test_sensitivity_scales_volume_and_share() -> None:
    table = sensitivity(WORKED, [Fraction(1, 2), Fraction(2)], [Fraction(0), Fraction(1, 2)])
    assert table[Fraction(2), Fraction(0)].before == 3000 * USD
    assert table[Fraction(1, 2), Fraction(1, 2)].after == 375 * USD + 25 * USD // 2
    assert len(table) == 4


def test_no_traffic_never_pays() -> None:
    nothing = plan(msgspec.structs.replace(HOSTED, input_tokens=0, output_tokens=0))
    assert not nothing.pays
    assert nothing.beats_api_at is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_tokens": -1}, "input_tokens is negative"),
        ({"cached_tokens": 9_000_000}, "cached tokens are part"),
        ({"teacher_share": Fraction(3, 2)}, "teacher_share"),
        ({"replicas": 0}, "replica"),
        ({"one_time": (Item("data", 5, 4),)}, "data: the range must"),
    ],
)
def test_impossible_assumptions_are_errors(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(msgspec.structs.replace(HOSTED, **change))
