"""Spending on an API: prices of the command line, the most that a call can cost, and a hard budget."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from breakeven.gateway.accounting.money import amount
from breakeven.gateway.accounting.prices import Price, price
from breakeven.models.errors import DistillError


def prices(input_usd: str, output_usd: str, cached_usd: str | None = None) -> Price:
    """From USD per million tokens. Without a cached price, cached costs as input. Raises ValueError."""
    cached = None if cached_usd is None else _per_million("--cached-usd", cached_usd)
    return price(_per_million("--input-usd", input_usd), cached, _per_million("--output-usd", output_usd))


def _per_million(option: str, text: str) -> Decimal:
    value = amount(option, text)
    if value != round(value, 6):
        raise DistillError(f"{option}: at most six decimals of USD per million tokens")
    return value


def worst_case(at: Price, prompt_tokens: int, output_tokens: int) -> int:
    """The most, in picodollars, that a call with at most these counts can cost: nothing or everything is cached."""
    return prompt_tokens * max(at.input, at.cached_input) + output_tokens * at.output


def discounted(at: Price, discount: Decimal) -> Price:
    """The price with this share, in [0, 1), taken off; never rounded down."""
    left = (
        int((one * (1 - discount)).to_integral_value(ROUND_CEILING)) for one in (at.input, at.cached_input, at.output)
    )
    input, cached_input, output = left
    return Price(input, cached_input, output)


def share(option: str, text: str) -> Decimal:
    """A number in [0, 1) of a command-line option. Raises ValueError."""
    value = amount(option, text)
    if value >= 1:
        raise DistillError(f"{option}: must be below 1, such as 0.5 for half price")
    return value


class Budget:
    """A hard limit: a call is sent only where its worst case fits beside all that may have been paid.

    All in picodollars. `spent` is known to be paid; `possible` may have been paid, at most: calls whose
    answer or usage never arrived; `reserved` is the worst case of the calls under way.
    """

    def __init__(self, limit: int | None, *, spent: int = 0, possible: int = 0) -> None:
        self.limit = limit
        self.spent = spent
        self.possible = possible
        self.reserved = 0

    @property
    def taken(self) -> int:
        """The most that can have been paid so far, calls under way among it."""
        return self.spent + self.possible + self.reserved

    def reserve(self, worst: int) -> bool:
        """Reserve the worst case of a call; False, with nothing reserved, where it does not fit."""
        if self.limit is not None and self.taken + worst > self.limit:
            return False
        self.reserved += worst
        return True

    def hold(self, worst: int) -> None:
        """Reserve what is under way already, whether it fits or not."""
        self.reserved += worst

    def settle(self, worst: int, *, spent: int = 0, possible: int = 0) -> None:
        """A call ended: its reservation gives way to what it cost, or may have cost."""
        self.reserved -= worst
        self.spent += spent
        self.possible += possible
