"""Sums of counts and money over groups of requests and attempts."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

import msgspec

from breakeven.gateway.economics.baseline import Traffic

COUNTS = (
    "requests",
    "attempts",
    "usage_missing",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "estimated_input_tokens",
    "estimated_output_tokens",
)
COSTS = ("cost_input", "cost_cached_input", "cost_cache_write", "cost_output", "cost_tools")
MONEY = (*COSTS, "cost_estimated", "baseline", "baseline_input", "baseline_output")

_VALUES = tuple(attrgetter(name) for name in COUNTS + MONEY)


class Sum(msgspec.Struct):
    """Counts, and money in picodollars, of one group. `group` has a value for each name grouped by.

    Of `baseline`, what the same traffic is worth at the teacher's prices, `baseline_input` and `baseline_output` are
    the prompts and answers of the student, counted by its own tokenizer and in its own words. `cost_estimated` and the
    estimated tokens stand for what no upstream reported, and are part of no other figure.
    """

    group: tuple[object, ...] = ()
    requests: int = 0
    attempts: int = 0
    usage_missing: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    estimated_input_tokens: int = 0
    estimated_output_tokens: int = 0
    cost_input: int = 0
    cost_cached_input: int = 0
    cost_cache_write: int = 0
    cost_output: int = 0
    cost_tools: int = 0
    cost_estimated: int = 0
    baseline: int = 0
    baseline_input: int = 0
    baseline_output: int = 0

    @property
    def cost(self) -> int:
        """The cost in picodollars, summed over the kinds."""
        return self.cost_input + self.cost_cached_input + self.cost_cache_write + self.cost_output + self.cost_tools

    @property
    def tokens(self) -> int:
        """Prompt tokens, cached or not, and output tokens."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens + self.output_tokens

    @property
    def traffic(self) -> Traffic:
        """What the baseline is estimated from; 0 throughout for pinned requests."""
        known = self.baseline - self.baseline_input - self.baseline_output
        return Traffic(known, self.baseline_input, self.baseline_output)


class Hour(NamedTuple):
    """Routed traffic of one hour, and what it cost. `hour` counts from the Unix epoch, money is in picodollars."""

    hour: int
    known: int
    student_input: int
    student_output: int
    spend: int

    @property
    def traffic(self) -> Traffic:
        """What the baseline is estimated from."""
        return Traffic(self.known, self.student_input, self.student_output)


def add(parts: Iterable[Sum], group: tuple[object, ...] = ()) -> Sum:
    """Add up sums; the result has the given `group`."""
    listed = list(parts)
    return Sum(group, *(sum(map(value, listed)) for value in _VALUES))
