"""The options of `breakeven plan`, given as text, checked and converted to the assumptions of a plan."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import msgspec

from breakeven.gateway.accounting.money import amount, picodollars
from breakeven.gateway.accounting.prices import Price, price
from breakeven.gateway.economics.periods import SECONDS_A_MONTH
from breakeven.gateway.economics.plan import Assumptions, Item, dataset_cost

_SCALES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Monthly traffic, prices and hosting, as given on the command line.

    Token counts are such as `80M`; amounts are decimal numbers of USD, prices per million tokens.
    `replica_tokens_per_second` is None where a replica has no known limit.
    """

    input_tokens: str
    output_tokens: str
    cached_tokens: str
    input_usd: str
    cached_usd: str | None
    output_usd: str
    teacher_share: str
    hosting_usd_per_hour: str
    replicas: int
    replica_tokens_per_second: str | None
    student_usd_per_million: str


class OneTimeCosts(msgspec.Struct, frozen=True):
    """The parts of the one-time cost, in USD, or `investment_usd` in their place: one amount, or two for a range."""

    examples: int
    example_input_tokens: int
    example_output_tokens: int
    training_usd: str
    evaluation_usd: str
    labour_usd: str
    investment_usd: tuple[str, ...]


def assumptions(traffic: Traffic, costs: OneTimeCosts) -> Assumptions:
    """The assumptions of the plan. Raises ValueError, which names the option that is wrong."""
    teacher = price(
        usd_of("--input-usd", traffic.input_usd),
        None if traffic.cached_usd is None else usd_of("--cached-usd", traffic.cached_usd),
        usd_of("--output-usd", traffic.output_usd),
    )
    speed = traffic.replica_tokens_per_second
    limit = None if speed is None else int(usd_of("--replica-tokens-per-second", speed) * SECONDS_A_MONTH)
    return Assumptions(
        input_tokens=tokens("--input-tokens", traffic.input_tokens),
        cached_tokens=tokens("--cached-tokens", traffic.cached_tokens),
        output_tokens=tokens("--output-tokens", traffic.output_tokens),
        teacher=teacher,
        teacher_share=Fraction(usd_of("--teacher-share", traffic.teacher_share)),
        hosting_per_hour=usd_option("--hosting-usd-per-hour", traffic.hosting_usd_per_hour),
        replicas=traffic.replicas,
        replica_tokens=limit,
        student_per_million=usd_option("--student-usd-per-million", traffic.student_usd_per_million),
        one_time=_one_time(costs, teacher),
    )


def _one_time(costs: OneTimeCosts, teacher: Price) -> tuple[Item, ...]:
    if costs.investment_usd:
        return (item("investment", *(usd_option("--investment-usd", one) for one in costs.investment_usd)),)
    data = dataset_cost(costs.examples, costs.example_input_tokens, costs.example_output_tokens, teacher)
    return (
        item(f"data, {costs.examples:,} examples", data),
        item("training", usd_option("--training-usd", costs.training_usd)),
        item("evaluation", usd_option("--evaluation-usd", costs.evaluation_usd)),
        item("labour", usd_option("--labour-usd", costs.labour_usd)),
    )


def item(name: str, *amounts: int) -> Item:
    """One part of the one-time cost, in picodollars; several amounts are a range from the least to the most."""
    return Item(name, min(amounts), max(amounts))


def tokens(option: str, text: str) -> int:
    """A number of tokens from text such as 250000, 100M or 1.5B. Raises ValueError, which names the option."""
    match = re.fullmatch(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?)\s*([kmgb]?)\s*", text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"{option}: not a number of tokens; write it as 100000000, 100M or 1.5B")
    count = Decimal(match[1].replace(",", "").replace("_", "")) * _SCALES[match[2].lower()]
    if count != int(count):
        raise ValueError(f"{option}: must be a whole number of tokens")
    return int(count)


_MOST_USD = 9_000_000


def usd_option(option: str, text: str) -> int:
    """USD with at most six decimals as picodollars of 64 bits. Raises ValueError, which names the option."""
    value = usd_of(option, text)
    if value > _MOST_USD:
        raise ValueError(f"{option}: must be at most {_MOST_USD} USD")
    return picodollars(value)


def usd_of(option: str, text: str) -> Decimal:
    """A number of 0 or more with at most six decimals. Raises ValueError, which names the option."""
    value = amount(option, text)
    if value != round(value, 6):
        raise ValueError(f"{option}: has more than six decimals")
    return value
