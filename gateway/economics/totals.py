"""Sums of counts and money over groups of requests and attempts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

import msgspec

from breakeven.gateway.economics.traffic import Traffic, stratum, together, traffic

# The groups that the baseline is estimated by.
STRATA = ("workload", "key", "size")
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


class Hour(NamedTuple):
    """Routed traffic of one hour, and what it cost. `hour` counts from the Unix epoch, money is in picodollars."""

    hour: int
    traffic: Traffic
    spend: int


def add(parts: Iterable[Sum], group: tuple[object, ...] = ()) -> Sum:
    """Add up sums; the result has the given `group`."""
    listed = list(parts)
    return Sum(group, *(sum(map(value, listed)) for value in _VALUES))


def traffic_of(sums: Iterable[Sum], by: Sequence[str]) -> Traffic:
    """What the baseline of these sums, grouped `by` names with STRATA among them, is estimated from. Pinned requests
    have none.
    """
    workload, key, size = (by.index(name) for name in STRATA)
    return together(
        traffic(
            one.baseline - one.baseline_input - one.baseline_output,
            one.baseline_input,
            one.baseline_output,
            stratum(str(one.group[workload]), str(one.group[key]), int(str(one.group[size]))),
        )
        for one in sums
    )
