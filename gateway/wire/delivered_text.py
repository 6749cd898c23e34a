"""The text of an answer that a tokenizer would count: content, reasoning, refusals, and calls of tools.

Read by shape from the JSON or the events of chat completions, completions and responses.
"""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.wire.lenient_json import UNREADABLE
from breakeven.gateway.wire.sse import Scanner

# Events of /v1/responses whose `delta` is a piece of text that the model wrote.
_DELTAS = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
    }
)


class _Function(msgspec.Struct):
    name: Any = None
    arguments: Any = None
    input: Any = None


class _Call(msgspec.Struct):
    function: _Function | None = None
    custom: _Function | None = None


class _Message(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    text: Any = None
    message: _Message | None = None
    delta: _Message | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    type: Any = None
    delta: Any = None
    output: Any = None
    content: Any = None


_ANSWER = msgspec.json.Decoder(_Answer)


def delivered_text(data: bytes) -> str:
    """All of the text in a whole answer or in the events of a stream, as far as it came; "" for anything else."""
    parts: list[str] = []
    if data.lstrip()[:1] == b"{":
        _read(data, parts)
    else:
        for event in Scanner().feed(data):
            if event.data:
                _read(event.data, parts)
    return "".join(parts)


def _read(data: bytes, parts: list[str]) -> None:
    """Append the text of one JSON object; nothing for one that cannot be read."""
    try:
        answer = _ANSWER.decode(data)
    except UNREADABLE:
        return
    for choice in answer.choices or ():
        _add(parts, choice.text)
        for message in (choice.message, choice.delta):
            if message is not None:
                _message(message, parts)
    if isinstance(answer.type, str) and answer.type in _DELTAS:
        _add(parts, answer.delta)
    if answer.type == "content_block_delta" and isinstance(answer.delta, dict):
        _add(parts, *(answer.delta.get(name) for name in ("text", "thinking", "partial_json")))
    if answer.type == "message":
        _blocks(answer.content, parts)
    for item in answer.output if isinstance(answer.output, list) else ():
        if isinstance(item, dict):
            _item(item, parts)


def _message(message: _Message, parts: list[str]) -> None:
    # Some servers send the reasoning under both names.
    _add(parts, message.reasoning_content or message.reasoning, message.content, message.refusal)
    functions = [message.function_call]
    for call in message.tool_calls or ():
        functions += (call.function, call.custom)
    for function in functions:
        if function is not None:
            _add(parts, function.name, function.arguments, function.input)


def _blocks(content: object, parts: list[str]) -> None:
    """The content blocks of a message of Anthropic's API."""
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict):
            _add(parts, block.get("text"), block.get("thinking"))
            if isinstance(block.get("input"), dict):
                _add(parts, block.get("name"), msgspec.json.encode(block["input"]).decode())


def _item(item: dict[str, Any], parts: list[str]) -> None:
    """One item of the `output` of /v1/responses."""
    for key in ("content", "summary"):
        value = item.get(key)
        for part in value if isinstance(value, list) else ():
            if isinstance(part, dict):
                _add(parts, part.get("text"), part.get("refusal"))
    if str(item.get("type")).endswith("_call"):
        _add(parts, *(item.get(key) for key in ("name", "arguments", "input", "code")))


def _add(parts: list[str], *values: object) -> None:
    parts.extend([value for value in values if isinstance(value, str)])
