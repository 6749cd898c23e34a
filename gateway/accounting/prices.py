"""The cost of token usage, in exact integer arithmetic.

A price of up to six decimals of USD per million tokens is a whole number of picodollars per token.
"""

from __future__ import annotations

import functools
from decimal import Decimal

import msgspec

from breakeven.gateway.accounting.money import PICODOLLARS
from breakeven.gateway.accounting.usage import Usage


class Price(msgspec.Struct, frozen=True):
    """The price of a token in picodollars, by kind of token."""

    input: int
    cached_input: int
    output: int


class Cost(msgspec.Struct, frozen=True):
    """The cost of an attempt in picodollars, by kind of token."""

    input: int = 0
    cached_input: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        """The cost in picodollars, summed over the kinds of token."""
        return self.input + self.cached_input + self.output


FREE = Cost()


@functools.lru_cache(maxsize=64)
def price(input: Decimal, cached_input: Decimal | None, output: Decimal) -> Price:
    """Convert prices in USD per million tokens; without a cached price, cached tokens cost as much as input tokens.

    Raises ValueError for a price with more than six decimals, which is no whole number of picodollars per token.
    """

    def whole(usd_per_million: Decimal) -> int:
        pico = usd_per_million * (PICODOLLARS // 10**6)
        if pico != int(pico):
            raise ValueError(f"a price of {usd_per_million} USD per million has more than six decimals")
        return int(pico)

    return Price(whole(input), whole(input if cached_input is None else cached_input), whole(output))


def cost(usage: Usage, price: Price) -> Cost:
    """The cost of `usage` at `price`, in picodollars. Cached tokens in excess of the prompt tokens are ignored."""
    cached = min(usage.cached, usage.prompt)
    return Cost(
        input=(usage.prompt - cached) * price.input,
        cached_input=cached * price.cached_input,
        output=usage.output * price.output,
    )
