"""Requests of the SDK tests, small enough for a small model on a CPU."""

from __future__ import annotations

from typing import Any

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]

# Longer than two cache blocks of 128 tokens, so that a repeated request has cached tokens.
LONG_QUESTION = [
    {"role": "system", "content": "You answer in one word. " + "The city lies on a river and is old. " * 40},
    {"role": "user", "content": "Which city is it?"},
]

_CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "London"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": "Get weather", "parameters": _CITY, "strict": True},
    }
]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": _CITY}}
