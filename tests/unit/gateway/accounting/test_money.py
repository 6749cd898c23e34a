"""Amounts of money as text."""

from __future__ import annotations

from decimal import Decimal

import pytest

from breakeven.gateway.accounting.money import amount, dollars, dollars_of_float, exact, picodollars, plain


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0", "$0.00"),
        ("1240.5", "$1,240.50"),
        ("0.66495", "$0.66"),
        ("-28.8", "-$28.80"),
        ("0.01", "$0.01"),
        ("0.0099", "$0.0099"),
        ("-0.000123456", "-$0.00012"),
        ("0.000000000001", "$0.0000000000010"),
        # half to even
        ("0.015", "$0.02"),
        ("0.025", "$0.02"),
    ],
)
def test_dollars(usd: str, text: str) -> None:
    assert dollars(picodollars(Decimal(usd))) == text
    assert dollars_of_float(float(usd)) == text


def test_exact_and_plain_keep_all_decimals() -> None:
    assert exact(197_500_000_000) == "0.197500000000"
    assert plain(197_500_000_000) == "0.1975"
    assert plain(3 * 10**12) == "3"


@pytest.mark.parametrize("text", ["-3", "nan", "inf", "some"])
def test_a_bad_amount_names_the_option(text: str) -> None:
    with pytest.raises(ValueError, match=r"^--limit: "):
        amount("--limit", text)
