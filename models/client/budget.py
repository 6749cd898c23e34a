"""Spending on an API: prices from the command line, the worst-case cost of a call, and a hard budget."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from breakeven.gateway.accounting.money import amount
from breakeven.gateway.accounting.prices import Price, price
from breakeven.models.errors import DistillError


def prices(input_usd: str, output_usd: str, cached_usd: str | None = None) -> Price:
    """The price from options in USD per million tokens; cached tokens cost as input without a price of their own.

    Raises ValueError for an amount that is not a number, negative or too precise.
    """
    cached = None if cached_usd is None else _per_million("--cached-usd", cached_usd)
    return price(_per_million("--input-usd", input_usd), cached, _per_million("--output-usd", output_usd))


def _per_million(option: str, text: str) -> Decimal:
    value = amount(option, text)
    if value != round(value, 6):
        raise DistillError(f"{option}: at most six decimals of USD per million tokens")
    return value


def worst_case(at: Price, prompt_tokens: int, output_tokens: int) -> int:
    """The most, in picodollars, that a call with at most these token counts can cost, whatever part is cached."""
    return prompt_tokens * max(at.input, at.cached_input) + output_tokens * at.output


def discounted(at: Price, discount: Decimal) -> Price:
    """The price less a `discount` in [0, 1), rounded up to whole picodollars."""
    left = (
        int((one * (1 - discount)).to_integral_value(ROUND_CEILING)) for one in (at.input, at.cached_input, at.output)
    )
    input, cached_input, output = left
    return Price(input, cached_input, output)


def share(option: str, text: str) -> Decimal:
    """The number in [0, 1) that a command-line option gives. Raises ValueError."""
    value = amount(option, text)
    if value >= 1:
        raise DistillError(f"{option}: must be below 1, such as 0.5 for half price")
    return value


class Budget:
    """A hard limit: a call is only sent if its worst case still fits. All amounts in picodollars.

    `limit`: None for no limit; `spent`: known to be paid; `possible`: the most that calls may have cost whose answer or
    usage never arrived; `reserved`: the worst case of the calls in flight.
    """

    def __init__(self, limit: int | None, *, spent: int = 0, possible: int = 0) -> None:
        self.limit = limit
        self.spent = spent
        self.possible = possible
        self.reserved = 0

    @property
    def taken(self) -> int:
        """The most that can have been spent so far, including the calls in flight."""
        return self.spent + self.possible + self.reserved

    def reserve(self, worst: int) -> bool:
        """Reserve the worst case of a call. Returns False, without reserving it, if the budget has no room."""
        if self.limit is not None and self.taken + worst > self.limit:
            return False
        self.reserved += worst
        return True

    def hold(self, worst: int) -> None:
        """Reserve the worst case of what is already in flight, whether the budget has room for it or not."""
        self.reserved += worst

    def settle(self, worst: int, *, spent: int = 0, possible: int = 0) -> None:
        """Replace the reservation of a call that ended by what it cost (`spent`) or may have cost (`possible`)."""
        self.reserved -= worst
        self.spent += spent
        self.possible += possible
