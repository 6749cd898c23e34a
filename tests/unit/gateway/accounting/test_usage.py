"""Parsing usage: what the upstream reported, and nothing else."""

from __future__ import annotations

import pytest

from breakeven.gateway.accounting.usage import Usage, read_usage


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}, Usage(5, 0, 2, True)),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
            Usage(5, 4, 2, True),
        ),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(5, 0, 2, True)),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": None}},
            Usage(5, 0, 2, True),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}},
            Usage(5, 5, 2, True),
        ),
        (
            {"input_tokens": 5, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}},
            Usage(5, 1, 2, True),
        ),
        ({"prompt_tokens": 5, "total_tokens": 5}, Usage(5, 0, 0, True)),
        ({"prompt_tokens": 5}, Usage(5, 0, 0, False)),
        ({"completion_tokens": 2}, Usage(0, 0, 2, False)),
        ({"prompt_tokens": "5", "completion_tokens": 2}, Usage(0, 0, 2, False)),
        ({"prompt_tokens": -5, "completion_tokens": 2}, Usage(0, 0, 2, False)),
        ({"prompt_tokens": True, "completion_tokens": 2}, Usage(0, 0, 2, False)),
        ({}, None),
        (None, None),
        ([], None),
        ("5", None),
    ],
)
def test_read_usage(reported: object, usage: Usage | None) -> None:
    assert read_usage(reported) == usage
