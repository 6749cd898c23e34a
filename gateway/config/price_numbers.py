"""Prices of lists and packages as numbers that can be counted exactly, and tiers as multiples of plain prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction

from breakeven.gateway.errors import ConfigError

MILLION = 10**6
Fault = Callable[[str], ConfigError]


def exact(value: Decimal, times: int, unit: str, fault: Fault) -> Decimal:
    """`value` times `times`, which is in `unit`. Raises what `fault` makes of a message where it has more than six
    decimals, which could not be counted exactly.
    """
    product = Fraction(value) * times
    if product * MILLION % 1:
        raise fault(f"{(value * times).normalize():f} {unit} has more than six decimals")
    return Decimal(int(product * MILLION)) / MILLION


def multiplier(prices: Mapping[str, tuple[Decimal, Decimal]], fault: Callable[[str, str], ConfigError]) -> Decimal:
    """By how much a tier is dearer, rounded to a millionth; 1 for no prices.

    `prices`: name of a price in the tier -> that price and the plain one. Raises what `fault` makes of the names and a
    message where the prices are different multiples of the plain ones.
    """
    ratios: dict[Fraction, str] = {}
    for name, (price, plain) in prices.items():
        if plain:
            ratios.setdefault(Fraction(price) / Fraction(plain), name)
        elif price:
            raise fault(name, "is no multiple of the plain price, which is 0")
    if len(ratios) > 1:
        raise fault(" and ".join(ratios.values()), "are different multiples of the plain prices")
    return Decimal(round(next(iter(ratios), Fraction(1)) * MILLION)) / MILLION
