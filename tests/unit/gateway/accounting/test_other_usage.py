"""Usage of answers that are no chats, as their providers report it."""

from __future__ import annotations

from typing import Any

import pytest

from breakeven.gateway.accounting.other_usage import usage_of
from breakeven.gateway.accounting.prices import Cost, Price, cost, with_fee
from breakeven.gateway.accounting.usage import NO_USAGE, Usage

TRANSCRIBED = {
    "type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
}  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        # OpenAI's embeddings and vLLM's scores.
        ({"usage": {"prompt_tokens": 8, "total_tokens": 8}}, Usage(8, 0, 0, True)),
        # Jina's and older vLLMs' rankings.
        ({"usage": {"total_tokens": 56}}, Usage(56, 0, 0, True)),
        ({"usage": TRANSCRIBED}, Usage(14, 0, 45, True, audio_input=14)),
        # OpenAI's images.
        (
            {"usage": {"total_tokens": 100, "input_tokens": 50, "output_tokens": 50,
                       "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}},
            Usage(50, 0, 50, True),
        ),
        # Cohere's.
        ({"meta": {"billed_units": {"search_units": 2.0}}}, Usage(0, 0, 0, True, web_searches=2)),
        ({"meta": {"billed_units": {"input_tokens": 7.0}}}, Usage(7, 0, 0, True)),
        ({"meta": {"billed_units": {"input_tokens": 7, "output_tokens": 3}}}, Usage(7, 0, 3, True)),
        (
            {"meta": {"billed_units": {"input_tokens": 7, "search_units": 1}}},
            Usage(7, 0, 0, True, web_searches=1),
        ),
        # A transcription that is paid for by its seconds says nothing of tokens.
        ({"usage": {"type": "duration", "seconds": 9}}, None),
        ({"usage": {"total_tokens": -1}}, None),
        ({"meta": {"billed_units": {"images": 1}}}, None),
        ({"meta": {"billed_units": {"search_units": "many"}}}, None),
        ({"meta": {"billed_units": None}}, None),
        ({"meta": 5, "usage": None}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_usage_of(answer: dict[str, Any], usage: Usage | None) -> None:
    assert usage_of(answer) == usage


def test_a_fee_is_for_the_request_or_for_each_unit() -> None:
    price = Price(2, 2, 0, request=1000)
    paid = cost(Usage(5, 0, 0, True), price)
    assert with_fee(paid, Usage(5, 0, 0, True), price) == Cost(10, 0, 0, 0, 1000)
    assert with_fee(paid, NO_USAGE, price).tools == 1000
    searched = Usage(5, 0, 0, True, web_searches=3)
    assert with_fee(cost(searched, price), searched, price).tools == 3000
    assert with_fee(paid, NO_USAGE, Price(2, 2, 0)) is paid
