"""What each provider reports, priced as the provider charges: 2.50 / 1.25 / 10 USD per million."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from breakeven.gateway.accounting.money import usd
from breakeven.gateway.accounting.prices import Price, context_tiers, cost, per_token, tier_multipliers
from breakeven.gateway.accounting.usage import Usage, read_usage
from breakeven.gateway.endpoints.chat import ChatCompletions
from breakeven.gateway.endpoints.responses import Responses
from breakeven.gateway.wire.sse import Scanner

PRICE = Price(
    per_token(Decimal("2.50")),
    per_token(Decimal("1.25")),
    per_token(Decimal(10)),
    audio_input=per_token(Decimal(40)),
    audio_output=per_token(Decimal(80)),
    web_search=10**10,
    service_tiers=tier_multipliers({"flex": Decimal("0.5"), "priority": Decimal(2)}),
    context_tiers=context_tiers([(272_000, Decimal(2), Decimal("1.5"))]),
)

OPENAI = {"prompt_tokens": 20_000, "completion_tokens": 1_000, "total_tokens": 21_000}
CASES: list[tuple[str, dict[str, Any], Usage, str]] = [
    ("OpenAI", OPENAI, Usage(20_000, 0, 1_000, True), "0.06"),
    (
        "OpenAI, cached and reasoning inside",
        {
            **OPENAI,
            "prompt_tokens_details": {"cached_tokens": 16_000, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 600, "audio_tokens": 0},
        },
        Usage(20_000, 16_000, 1_000, True, reasoning=600),
        "0.04",
    ),
    (
        "OpenAI, sound",
        {
            **OPENAI,
            "prompt_tokens_details": {"audio_tokens": 5_000},
            "completion_tokens_details": {"audio_tokens": 500},
        },
        Usage(20_000, 0, 1_000, True, audio_input=5_000, audio_output=500),
        "0.2825",
    ),
    (
        "OpenAI Responses",
        {
            "input_tokens": 20_000,
            "output_tokens": 1_000,
            "total_tokens": 21_000,
            "input_tokens_details": {"cached_tokens": 4_000},
            "output_tokens_details": {"reasoning_tokens": 128},
        },
        Usage(20_000, 4_000, 1_000, True, reasoning=128),
        "0.055",
    ),
    ("vLLM", {**OPENAI, "prompt_tokens_details": None}, Usage(20_000, 0, 1_000, True), "0.06"),
    (
        "SGLang, reasoning beside the counts and inside the completion",
        {**OPENAI, "reasoning_tokens": 300, "prompt_tokens_details": {"cached_tokens": 2}},
        Usage(20_000, 2, 1_000, True, reasoning=300),
        "0.0599975",
    ),
    (
        "Anthropic, whose input leaves out what the cache had a part in",
        {
            "input_tokens": 1_000,
            "cache_creation_input_tokens": 3_000,
            "cache_read_input_tokens": 16_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 2_000},
            "output_tokens": 1_000,
            "server_tool_use": {"web_search_requests": 3},
            "service_tier": "standard",
        },
        Usage(
            20_000, 16_000, 1_000, True,
            cache_write=3_000, cache_write_1h=2_000, web_searches=3, service_tier="standard",
        ),
        # 1,000 at 2.50, 16,000 at 1.25, 1,000 at 3.125, 2,000 at 5, 1,000 at 10, three searches of a cent.
        "0.075625",
    ),
    (
        "Anthropic through an endpoint that counts as OpenAI does",
        {**OPENAI, "cache_creation_input_tokens": 3_000, "cache_read_input_tokens": 16_000},
        Usage(20_000, 16_000, 1_000, True, cache_write=3_000),
        "0.041875",
    ),
    (
        "cache writes in the details",
        {"prompt_tokens": 18_000, "completion_tokens": 0, "prompt_tokens_details": {"cache_write_tokens": 18_000}},
        Usage(18_000, 0, 0, True, cache_write=18_000),
        "0.05625",
    ),
    (
        "cache writes beside the counts",
        {"prompt_tokens": 18_000, "completion_tokens": 0, "cache_write_tokens": 18_000},
        Usage(18_000, 0, 0, True, cache_write=18_000),
        "0.05625",
    ),
    (
        "DeepSeek",
        {
            "prompt_tokens": 100_000,
            "prompt_cache_hit_tokens": 80_000,
            "prompt_cache_miss_tokens": 20_000,
            "completion_tokens": 10,
            "total_tokens": 100_010,
        },
        Usage(100_000, 80_000, 10, True),
        "0.1501",
    ),
    (
        "Kimi",
        {"prompt_tokens": 100_000, "cached_tokens": 80_000, "completion_tokens": 10, "total_tokens": 100_010},
        Usage(100_000, 80_000, 10, True),
        "0.1501",
    ),
    (
        "xAI, reasoning outside the completion, its own price",
        {
            "prompt_tokens": 16_000,
            "completion_tokens": 10,
            "total_tokens": 18_820,
            "prompt_tokens_details": {"text_tokens": 16_000, "cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2_810},
            "num_sources_used": 0,
            "cost_in_usd_ticks": 682_000_000,
        },
        Usage(16_000, 0, 2_820, True, reasoning=2_810, reported_cost=68_200_000_000),
        "0.0682",
    ),
    (
        "OpenRouter, with its own price",
        {**OPENAI, "cost": 0.06, "cost_details": {"upstream_inference_cost": None}},
        Usage(20_000, 0, 1_000, True, reported_cost=60_000_000_000),
        "0.06",
    ),
    (
        "Gemini, whose total has thoughts that nothing else reports",
        {"prompt_tokens": 20_000, "completion_tokens": 1_000, "total_tokens": 21_500},
        Usage(20_000, 0, 1_000, False),
        "0.06",
    ),
    (
        "Gemini, thoughts reported outside the completion",
        {
            "prompt_tokens": 20_000,
            "completion_tokens": 1_000,
            "total_tokens": 21_500,
            "completion_tokens_details": {"reasoning_tokens": 500},
        },
        Usage(20_000, 0, 1_500, True, reasoning=500),
        "0.065",
    ),
    ("flex", {**OPENAI, "service_tier": "flex"}, Usage(20_000, 0, 1_000, True, service_tier="flex"), "0.03"),
    (
        "priority",
        {**OPENAI, "service_tier": "priority"},
        Usage(20_000, 0, 1_000, True, service_tier="priority"),
        "0.12",
    ),
    ("a long prompt", {"prompt_tokens": 300_000, "completion_tokens": 1_000}, Usage(300_000, 0, 1_000, True), "1.515"),
    ("just short of it", {"prompt_tokens": 272_000, "completion_tokens": 0}, Usage(272_000, 0, 0, True), "0.68"),
]  # fmt: skip
IDS = [name for name, *_ in CASES]


@pytest.mark.parametrize(("reported", "usage", "due"), [case[1:] for case in CASES], ids=IDS)
def test_each_dialect_costs_what_is_due(reported: dict[str, Any], usage: Usage, due: str) -> None:
    assert read_usage(reported) == usage
    assert usd(cost(usage, PRICE).total) == Decimal(due)


@pytest.mark.parametrize(("reported", "usage"), [case[1:3] for case in CASES], ids=IDS)
def test_a_stream_and_a_whole_answer_say_the_same(reported: dict[str, Any], usage: Usage) -> None:
    encode = msgspec.json.encode
    chat, responses = ChatCompletions(), Responses()
    assert chat.usage(encode({"choices": [], "usage": reported})) == usage
    assert responses.usage(encode({"object": "response", "usage": reported})) == usage
    (event,) = Scanner().feed(b"data: %b\n\n" % encode({"choices": [], "usage": reported}))
    assert chat.read_event(event).usage == usage
    done = {"type": "response.completed", "response": {"usage": reported}}
    (event,) = Scanner().feed(b"event: response.completed\ndata: %b\n\n" % encode(done))
    assert responses.read_event(event).usage == usage


def test_the_tier_that_the_answer_was_served_in_may_stand_beside_its_usage() -> None:
    chat, responses = ChatCompletions(), Responses()
    found = chat.usage(b'{"service_tier":"flex","usage":{"prompt_tokens":20000,"completion_tokens":1000}}')
    assert found is not None
    assert usd(cost(found, PRICE).total) == Decimal("0.03")
    (event,) = Scanner().feed(
        b'data: {"choices":[],"service_tier":"flex","usage":{"prompt_tokens":20000,"completion_tokens":1000}}\n\n'
    )
    assert chat.read_event(event).usage == found
    (event,) = Scanner().feed(
        b'data: {"type":"response.completed","response":'
        b'{"service_tier":"flex","usage":{"input_tokens":20000,"output_tokens":1000}}}\n\n'
    )
    assert responses.read_event(event).usage == found


@pytest.mark.parametrize(
    "strange",
    [
        {"prompt_tokens_details": {"cached_tokens": -1}},
        {"prompt_tokens_details": {"cached_tokens": "many"}},
        {"prompt_tokens_details": [1]},
        {"completion_tokens_details": {"reasoning_tokens": 10**12}},
        {"service_tier": 7},
        {"cost": float("nan")},
        {"cost": -1},
        {"cost_in_usd_ticks": True},
        {"server_tool_use": None},
    ],
)
def test_a_detail_that_cannot_be_is_as_if_it_were_not_there(strange: dict[str, Any]) -> None:
    assert read_usage({**OPENAI, **strange}) == Usage(20_000, 0, 1_000, True)


def test_a_long_prompt_in_a_cheap_tier_has_both_multipliers() -> None:
    usage = Usage(300_000, 0, 1_000, True, service_tier="flex")
    assert usd(cost(usage, PRICE).total) == Decimal("0.7575")


def test_cache_writes_have_prices_of_their_own_where_they_are_given() -> None:
    own = Price(10, 1, 20, cache_write=15, cache_write_1h=30)
    assert (
        cost(Usage(100, 10, 0, True, cache_write=50, cache_write_1h=20), own).total == 40 * 10 + 10 + 30 * 15 + 20 * 30
    )
