"""The cost of usage: the worked example of the documentation, and exactness."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.gateway.accounting.money import picodollars, usd
from breakeven.gateway.accounting.prices import cost, price
from breakeven.gateway.accounting.usage import Usage

COUNTS = st.integers(0, 10**9)
PRICES = st.decimals(0, 1000, places=6)


def test_the_worked_example() -> None:
    worked = cost(Usage(120_000, 90_000, 1_000, True), price(Decimal("2.50"), Decimal("1.25"), Decimal("10.00")))
    assert usd(worked.total) == Decimal("0.1975")
    assert (usd(worked.input), usd(worked.cached_input), usd(worked.output)) == (
        Decimal("0.075"),
        Decimal("0.1125"),
        Decimal("0.01"),
    )


def test_more_cached_than_prompt_tokens_are_clamped() -> None:
    at = price(Decimal("2.50"), Decimal("1.25"), Decimal("10.00"))
    assert cost(Usage(100, 900, 0, True), at) == cost(Usage(100, 100, 0, True), at)


def test_without_a_cached_price_cached_tokens_cost_as_much_as_input() -> None:
    at = price(Decimal("2.50"), None, Decimal("10.00"))
    assert cost(Usage(100, 60, 0, True), at).total == cost(Usage(100, 0, 0, True), at).total


def test_a_price_with_too_many_decimals_is_an_error() -> None:
    with pytest.raises(ValueError, match="six decimals"):
        price(Decimal("0.0000001"), None, Decimal("1"))
    with pytest.raises(ValueError, match="twelve decimals"):
        picodollars(Decimal("0.0000000000001"))


@given(COUNTS, COUNTS, COUNTS, PRICES, PRICES, PRICES)
def test_cost_is_the_exact_product(
    prompt: int, cached: int, output: int, input_price: Decimal, cached_price: Decimal, output_price: Decimal
) -> None:
    cached = min(cached, prompt)
    exact = (
        (prompt - cached) * Fraction(input_price) + cached * Fraction(cached_price) + output * Fraction(output_price)
    )
    assert (
        Fraction(usd(cost(Usage(prompt, cached, output, True), price(input_price, cached_price, output_price)).total))
        == exact / 10**6
    )
