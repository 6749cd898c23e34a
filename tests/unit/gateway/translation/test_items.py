"""Requests of each API in the form of chat completions, as they are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.endpoints.chat import ChatCompletions, Completions
from breakeven.gateway.endpoints.embeddings import Embeddings
from breakeven.gateway.endpoints.messages import Messages
from breakeven.gateway.endpoints.responses import Responses
from breakeven.gateway.wire.body import Body

USER = {"role": "user", "content": "Where?"}
PARAMETERS = {"type": "object", "properties": {"q": {"type": "string"}}}
FUNCTION = {"name": "find", "description": "Finds.", "parameters": PARAMETERS}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q":"x"}'}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "Paris"}
SCHEMA = {"type": "object"}


def as_chat(adapter: Adapter, **fields: Any) -> Any:
    return adapter.as_chat(Body(json.dumps({"model": "auto", **fields}).encode()))


def test_responses_are_said_as_chat_completions() -> None:
    made = as_chat(
        Responses(),
        instructions="Be brief.",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "Whe"}, {"type": "input_text", "text": "re?"}]},
            {"type": "reasoning", "id": "r", "summary": []},
            {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"q":"x"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "Paris"},
            {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": "Paris."}]},
            USER,
        ],
        tools=[{"type": "function", **FUNCTION, "strict": True}],
        tool_choice={"type": "function", "name": "find"},
        parallel_tool_calls=False,
        text={"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
    )
    assert made == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            USER,
            CALLED,
            RESULT,
            {"role": "assistant", "content": "Paris."},
            USER,
        ],
        "tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "find"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
    }


def test_parallel_calls_are_one_message() -> None:
    calls = [{"type": "function_call", "call_id": f"c{n}", "name": "find", "arguments": "{}"} for n in range(2)]
    (_, called) = as_chat(Responses(), input=[USER, *calls])["messages"]
    assert [one["id"] for one in called["tool_calls"]] == ["c0", "c1"]


@pytest.mark.parametrize(
    "fields",
    [
        {"input": [USER, {"type": "web_search_call", "id": "w"}]},
        {"input": "hi", "tools": [{"type": "web_search"}]},
        {"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}]},
    ],
)
def test_what_chat_completions_do_not_have_is_not_said(fields: dict[str, Any]) -> None:
    assert as_chat(Responses(), **fields) is None


def test_parts_that_are_no_text_stay() -> None:
    parts = [{"type": "input_text", "text": "this"}, {"type": "input_image", "image_url": "x"}]
    assert as_chat(Responses(), input=[{"role": "user", "content": parts}])["messages"][0]["content"] == parts


def test_the_other_apis() -> None:
    assert as_chat(Responses(), input="hi", text={"format": {"type": "text"}}) == {
        "messages": [{"role": "user", "content": "hi"}]
    }
    assert as_chat(Completions(), prompt="hi") == {"messages": [{"role": "user", "content": "hi"}]}
    assert as_chat(Completions(), prompt=["a", "b"]) is None
    assert as_chat(Embeddings(), input="hi") is None
    given = {"messages": [USER, CALLED, RESULT], "tools": [{"type": "function", "function": FUNCTION}]}
    assert as_chat(ChatCompletions(), **given, temperature=0.5, tool_choice=None) == given
    said = as_chat(
        Messages(),
        max_tokens=5,
        system="Be brief.",
        messages=[
            USER,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "find", "input": {"q": "x"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "Paris"}]},
        ],
        tools=[{"name": "find", "description": "Finds.", "input_schema": PARAMETERS}],
    )
    arguments = said["messages"][2]["tool_calls"][0]["function"].pop("arguments")
    assert json.loads(arguments) == {"q": "x"}
    assert said["messages"][0] == {"role": "system", "content": "Be brief."}
    assert said["messages"][3] == RESULT
    assert said["tools"] == [{"type": "function", "function": FUNCTION}]
    server = [{"type": "web_search_20250305", "name": "web_search"}]
    assert as_chat(Messages(), max_tokens=5, messages=[USER], tools=server) is None
