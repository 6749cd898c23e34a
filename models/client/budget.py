"""Money spent on an API: prices, exact costs in whole picodollars (1e-12 USD), and a hard budget."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import NamedTuple

from breakeven.models.errors import DistillError

PICODOLLARS = 10**12
_PICO_PER_TOKEN = 10**6  # of one USD per million tokens


class Usage(NamedTuple):
    """Token counts of one call as the API reported them; `cached` is part of `prompt`.

    `complete` is False where the API did not report both counts.
    """

    prompt: int
    cached: int
    output: int
    complete: bool


class Prices(NamedTuple):
    """Picodollars per token."""

    input: int
    cached_input: int
    output: int

    def cost(self, usage: Usage) -> int:
        """Picodollars. More cached than prompt tokens are clamped to the prompt."""
        cached = min(usage.cached, usage.prompt)
        return (usage.prompt - cached) * self.input + cached * self.cached_input + usage.output * self.output

    def worst(self, prompt_tokens: int, output_tokens: int) -> int:
        """Picodollars of a call with these counts at most, nothing cached."""
        return prompt_tokens * max(self.input, self.cached_input) + output_tokens * self.output

    def less(self, discount: Decimal) -> Prices:
        """With this share, in [0, 1), taken off; never rounded down."""
        return Prices(*(int((price * (1 - discount)).to_integral_value(ROUND_CEILING)) for price in self))


def prices(input_usd: str, output_usd: str, cached_usd: str | None = None) -> Prices:
    """From USD per million tokens. Without a cached price, cached costs as input. Raises DistillError."""
    whole = {}
    for option, text in (("input", input_usd), ("output", output_usd), ("cached", cached_usd or input_usd)):
        pico = amount(f"--{option}-usd", text) * _PICO_PER_TOKEN
        if pico != int(pico):
            raise DistillError(f"--{option}-usd: at most six decimals of USD per million tokens")
        whole[option] = int(pico)
    return Prices(whole["input"], whole["cached"], whole["output"])


def amount(option: str, text: str) -> Decimal:
    """A finite amount of 0 or more. Raises DistillError."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise DistillError(f"{option}: not a number") from None
    if not value.is_finite() or value < 0:
        raise DistillError(f"{option}: must be a number of 0 or more")
    return value


def share(option: str, text: str) -> Decimal:
    """A number in [0, 1). Raises DistillError."""
    value = amount(option, text)
    if value >= 1:
        raise DistillError(f"{option}: must be below 1, such as 0.5 for half price")
    return value


def usd(pico: int) -> str:
    """Picodollars as exact USD without needless zeros."""
    text = f"{Decimal(pico).scaleb(-12):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


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
