"""The cost of usage, in exact integer arithmetic: tokens by kind, service tiers, long-context tiers, search fees.

A price of up to six decimals of USD per million tokens is a whole number of picodollars per token; multipliers are
whole millionths.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from breakeven.gateway.accounting.money import PICODOLLARS
from breakeven.gateway.accounting.usage import Usage

MILLION = 10**6
# What writing to a cache costs where no price says otherwise, as multiples of input: what Anthropic and OpenAI charge.
_WRITE, _WRITE_1H = Decimal("1.25"), Decimal(2)


class ContextTier(msgspec.Struct, frozen=True):
    """Multipliers, in millionths, of a request whose prompt is longer than `above` tokens."""

    above: int
    input: int
    output: int


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """The price of a token in picodollars, by kind of token.

    `audio_*` are prices of sound, None where it costs as text. `web_search` is the fee of one search, `request` that of
    one request which was answered. `service_tiers` are (name, multiplier in millionths) pairs; `context_tiers` are in
    order of length.
    """

    input: int
    cached_input: int
    output: int
    cache_write: int | None = None
    cache_write_1h: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    web_search: int = 0
    service_tiers: tuple[tuple[str, int], ...] = ()
    context_tiers: tuple[ContextTier, ...] = ()
    request: int = 0

    def multipliers(self, usage: Usage) -> tuple[int, int]:
        """Of input and of output, in millionths: the service tier's times those of the prompt's length."""
        input = output = MILLION
        if usage.service_tier is not None:
            input = output = dict(self.service_tiers).get(usage.service_tier, MILLION)
        for tier in reversed(self.context_tiers):
            if usage.prompt > tier.above:
                return input * tier.input // MILLION, output * tier.output // MILLION
        return input, output


class Cost(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cost of an attempt in picodollars, by kind of token; `tools` are fees that the provider charges per use."""

    input: int
    cached_input: int
    output: int
    cache_write: int = 0
    tools: int = 0

    @property
    def total(self) -> int:
        """The cost in picodollars, summed over the kinds."""
        return self.input + self.cached_input + self.output + self.cache_write + self.tools


FREE = Cost(0, 0, 0)


def per_token(usd_per_million: Decimal) -> int:
    """USD per million tokens as picodollars per token.

    Raises ValueError for more than six decimals, which would not be a whole number.
    """
    pico = usd_per_million * (PICODOLLARS // MILLION)
    if pico != int(pico):
        raise ValueError(f"a price of {usd_per_million} USD per million has more than six decimals")
    return int(pico)


@functools.lru_cache(maxsize=64)
def price(input: Decimal, cached_input: Decimal | None, output: Decimal) -> Price:
    """The price of plain tokens, from USD per million; without a cached price, cached tokens cost as much as input.

    Raises ValueError as `per_token` does.
    """
    whole = per_token(input)
    return Price(whole, whole if cached_input is None else per_token(cached_input), per_token(output))


def tier_multipliers(tiers: Mapping[str, Decimal]) -> tuple[tuple[str, int], ...]:
    """Service tiers and their multipliers in the form that a Price holds, in order of name."""
    return tuple(sorted((name, int(factor * MILLION)) for name, factor in tiers.items()))


def context_tiers(tiers: Sequence[tuple[int, Decimal, Decimal]]) -> tuple[ContextTier, ...]:
    """(tokens, input multiplier, output multiplier) in the form that a Price holds, in order of length."""
    return tuple(ContextTier(above, int(i * MILLION), int(o * MILLION)) for above, i, o in sorted(tiers))


def cost(usage: Usage, price: Price) -> Cost:
    """The cost of `usage` at `price`, in picodollars. Cached tokens in excess of the prompt tokens are ignored."""
    cached = min(usage.cached, usage.prompt)
    written = min(usage.cache_write, usage.prompt - cached)
    fresh = usage.prompt - cached - written
    input = fresh * price.input
    output = usage.output * price.output
    if usage.audio_input and price.audio_input is not None:
        input += min(usage.audio_input, fresh) * (price.audio_input - price.input)
    if usage.audio_output and price.audio_output is not None:
        output += min(usage.audio_output, usage.output) * (price.audio_output - price.output)
    write = _write_cost(usage, price, written) if written else 0
    read = cached * price.cached_input
    if usage.service_tier is not None or price.context_tiers:
        of_input, of_output = price.multipliers(usage)
        input, read, write = (kind * of_input // MILLION for kind in (input, read, write))
        output = output * of_output // MILLION
    return Cost(input, read, output, write, usage.web_searches * price.web_search)


def with_fee(of: Cost, usage: Usage, price: Price) -> Cost:
    """The cost of a request that was answered: with its fee, or with that of each unit in which the provider counted
    it, which `usage.web_searches` then has.
    """
    if not price.request:
        return of
    return msgspec.structs.replace(of, tools=of.tools + price.request * max(1, usage.web_searches))


def _write_cost(usage: Usage, price: Price, written: int) -> int:
    hour = min(usage.cache_write_1h, written)
    short = price.cache_write if price.cache_write is not None else int(price.input * _WRITE)
    long = price.cache_write_1h if price.cache_write_1h is not None else int(price.input * _WRITE_1H)
    return (written - hour) * short + hour * long
