"""The text that a tokenizer counts, read from whole answers and streams of three endpoints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from breakeven.gateway.wire.delivered_text import delivered_text
from tests.contract.scripted import completion, delta, event, usage_chunk


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"index": 0, "id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_chat_stream() -> None:
    data = (
        delta("", role="assistant", content="")
        + delta("", reasoning_content="think ", reasoning="think ")
        + delta("say ")
        + delta("", index=1, content="other ")
        + delta("", tool_calls=[call("find", "")])
        + delta("", tool_calls=[{"index": 0, "function": {"arguments": '{"a": 1}'}}])
        + delta("", refusal=" no")
        + delta("", finish="stop")
        + usage_chunk()
    )
    assert delivered_text(data) == 'think say other find{"a": 1} no'


def test_a_stream_that_ends_within_an_event() -> None:
    data = delta("one ") + delta("two ")
    assert delivered_text(data[:-10]) == "one "


def test_a_completions_stream_and_a_whole_completion() -> None:
    assert delivered_text(event({"choices": [{"index": 0, "text": "one"}]}) * 2) == "oneone"
    assert delivered_text(encoded({"choices": [{"text": "one"}, {"text": " two"}]})) == "one two"


def test_a_whole_chat_answer() -> None:
    value = completion("hello")
    value["choices"][0]["message"] |= {"reasoning": "hm ", "tool_calls": [call("find", "{}")]}
    assert delivered_text(encoded(value)) == "hm hellofind{}"


def test_a_responses_stream() -> None:
    deltas = [
        ("response.reasoning_text.delta", "think "),
        ("response.output_text.delta", "say "),
        ("response.function_call_arguments.delta", "{}"),
        ("response.audio.delta", "AAAA"),
    ]
    data = event({"type": "response.created", "response": {"id": "r"}})
    data += b"".join(event({"type": kind, "delta": text}) for kind, text in deltas)
    data += event({"type": "response.output_text.done", "text": "say "})
    assert delivered_text(data) == "think say {}"


def test_a_whole_response() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "sum "}], "content": None},
        {
            "type": "message",
            "content": [{"type": "output_text", "text": "say "}, {"type": "refusal", "refusal": "no "}],
        },
        {"type": "function_call", "name": "find", "arguments": "{}"},
    ]
    assert delivered_text(encoded({"object": "response", "output": output})) == "sum say no find{}"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"data: [DONE]\n\n", b": comment\n\n", b'{"choices": 3}', b'{"output": [3, null]}', b"\xff\xfe"],
)
def test_anything_else_has_no_text(data: bytes) -> None:
    assert delivered_text(data) == ""


def test_an_event_of_another_shape_is_left_out() -> None:
    odd = event({"choices": [{"delta": {"content": ["a"]}}]}) + event({"choices": [{"delta": {"tool_calls": 3}}]})
    assert delivered_text(odd + delta("one")) == "one"
