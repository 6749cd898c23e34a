"""Exact costs, prices and the budget."""

from __future__ import annotations

import pytest

from breakeven.gateway.accounting.money import plain
from breakeven.gateway.accounting.prices import cost
from breakeven.gateway.accounting.usage import Usage
from breakeven.models.client.budget import Budget, prices


def test_the_cost_of_usage_is_exact() -> None:
    at = prices("2.50", "10", "1.25")
    assert plain(cost(Usage(120_000, 90_000, 1_000, True), at).total) == "0.1975"
    assert cost(Usage(5, 9, 0, True), at) == cost(Usage(5, 5, 0, True), at)
    assert cost(Usage(10, 10, 0, True), prices("3", "0")).total == 30_000_000
    assert plain(0) == "0"
    assert plain(10**13) == "10"


@pytest.mark.parametrize(("text", "said"), [("x", "number"), ("-1", "negative"), ("nan", "number"), ("1e-7", "six")])
def test_an_invalid_price_is_an_error_that_names_the_option(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"--input-usd.*{said}"):
        prices(text, "1")


def test_a_budget_reserves_the_worst_case() -> None:
    budget = Budget(100, spent=20, possible=10)
    assert budget.reserve(40)
    assert not budget.reserve(31)
    assert budget.reserve(30)
    budget.settle(40, spent=5)
    budget.settle(30, possible=30)
    assert (budget.spent, budget.possible, budget.reserved, budget.taken) == (25, 40, 0, 65)
    assert Budget(None).reserve(10**30)
