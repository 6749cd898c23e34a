"""Sums of counts and money over groups of requests and attempts."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

import msgspec

COUNTS = ("requests", "attempts", "usage_missing", "input_tokens", "cached_input_tokens", "output_tokens")
MONEY = ("cost_input", "cost_cached_input", "cost_output", "baseline", "baseline_output")

_VALUES = tuple(attrgetter(name) for name in COUNTS + MONEY)


class Sum(msgspec.Struct):
    """Counts, and money in picodollars, of one group. `group` has the value of each key that was grouped by."""

    group: tuple[object, ...] = ()
    requests: int = 0
    attempts: int = 0
    usage_missing: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost_input: int = 0
    cost_cached_input: int = 0
    cost_output: int = 0
    baseline: int = 0
    baseline_output: int = 0

    @property
    def cost(self) -> int:
        """The cost in picodollars, summed over the kinds of token."""
        return self.cost_input + self.cost_cached_input + self.cost_output

    @property
    def tokens(self) -> int:
        """Input, cached input and output tokens."""
        return self.input_tokens + self.cached_input_tokens + self.output_tokens


class Hour(NamedTuple):
    """Routed traffic of one hour; `hour` counts from the Unix epoch, money is in picodollars."""

    hour: int
    baseline: int
    spend: int


def add(parts: Iterable[Sum], group: tuple[object, ...] = ()) -> Sum:
    """Add up sums; the result has the given `group`."""
    listed = list(parts)
    return Sum(group, *(sum(map(value, listed)) for value in _VALUES))
