"""A chat completion as a message of the Messages API; the parts that whole and streamed answers have in common."""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.accounting.usage import NO_USAGE, Usage, read_usage
from breakeven.gateway.wire.lenient_json import UNREADABLE, read

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_THINKING = "thinking"
_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class Function(msgspec.Struct):
    """The function of a tool call, or a piece of it."""

    name: Any = None
    arguments: Any = None


class Call(msgspec.Struct):
    """A tool call, or a piece of one."""

    index: Any = None
    id: Any = None
    function: Function | None = None


class Said(msgspec.Struct):
    """A message of the assistant, or what is new in it."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: list[Call] | None = None

    @property
    def thought(self) -> str:
        """The reasoning, which servers send under one of two names, or both, or as parts of the content."""
        parts = self.content if isinstance(self.content, list) else []
        shown = [part.get(_THINKING) for part in parts if isinstance(part, dict) and part.get("type") == _THINKING]
        return text(self.reasoning_content) or text(self.reasoning) or "".join(map(text, shown))


class Choice(msgspec.Struct):
    """One choice of an answer or of an event. `stop_reason`: which stop sequence matched, as vLLM says it."""

    message: Said | None = None
    delta: Said | None = None
    finish_reason: Any = None
    stop_reason: Any = None


class Answer(msgspec.Struct):
    """A chat completion, or one event of its stream."""

    id: Any = None
    model: Any = None
    choices: list[Choice] | None = None
    usage: Any = None
    service_tier: Any = None


ANSWER = msgspec.json.Decoder(Answer)


def text(value: object) -> str:
    """The value if it is text, the texts of its parts if it has such, as some servers send content, else ""."""
    if isinstance(value, list):
        parts = [part for part in value if isinstance(part, dict) and part.get("type") != _THINKING]
        return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    return value if isinstance(value, str) else ""


def arguments_of(function: Function) -> str:
    """The arguments of a call, or a piece of them, which some servers send as an object and not as its text."""
    if isinstance(function.arguments, dict):
        return msgspec.json.encode(function.arguments).decode()
    return text(function.arguments)


def message(data: bytes, *, thinking: bool) -> bytes | None:
    """The message in JSON; None for what is no chat completion. `thinking`: the client asked to see it."""
    try:
        found = read(ANSWER, data)
    except UNREADABLE:
        return None
    choice = found.choices[0] if found.choices else None
    if choice is None or choice.message is None:
        return None
    said = choice.message
    content: list[dict[str, Any]] = []
    if thinking and said.thought:
        content.append({"type": "thinking", "thinking": said.thought, "signature": ""})
    content += [{"type": "text", "text": one} for one in (text(said.content), text(said.refusal)) if one]
    calls = [(call, call.function) for call in said.tool_calls or () if call.function is not None]
    for number, (call, function) in enumerate(calls):
        content.append(_tool_use(call, function, call_id(named(found), number)))
    stop, sequence = stopped(choice, called=bool(calls), refused=bool(text(said.refusal)))
    usage = read_usage(found.usage, found.service_tier) or NO_USAGE
    return msgspec.json.encode(
        {**begun(found), "content": content, "stop_reason": stop, "stop_sequence": sequence, "usage": counts(usage)}
    )


def begun(answer: Answer) -> dict[str, Any]:
    """The fields of a message that are known when it begins."""
    return {"id": named(answer), "type": "message", "role": "assistant", "model": text(answer.model)}


def named(answer: Answer) -> str:
    """The id of a message."""
    return text(answer.id) or "msg"


def call_id(message: str, number: int) -> str:
    """The id of a call to which the server gave none: a client tells by it which of several calls a result is of."""
    return f"{message}_call_{number}"


def stopped(choice: Choice, *, called: bool, refused: bool) -> tuple[str, str | None]:
    """Why the answer ended, and the stop sequence that ended it, None without one."""
    reason = text(choice.finish_reason)
    if refused:
        return "refusal", None
    # Some servers say "stop" where a tool was called.
    if called and reason not in ("length", "content_filter"):
        return "tool_use", None
    if reason == "stop" and isinstance(choice.stop_reason, str):
        return "stop_sequence", choice.stop_reason
    return _STOPS.get(reason, "end_turn"), None


def counts(usage: Usage) -> dict[str, Any]:
    """Token counts as this API names them: its input tokens are those that no cache had a part in."""
    return {
        "input_tokens": usage.uncached,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }


def complete(arguments: str) -> bool:
    """Whether the arguments of a call are a whole JSON object."""
    try:
        _OBJECT.decode(arguments)
    except (*UNREADABLE, UnicodeEncodeError):
        return False
    return True


def _tool_use(call: Call, function: Function, own_id: str) -> dict[str, Any]:
    arguments = arguments_of(function)
    given: object = {}
    if complete(arguments):
        given = msgspec.Raw(arguments.encode())
    elif arguments.strip() not in ("", "null"):
        # As Anthropic's documentation says how to pass on what is no valid JSON.
        given = {"INVALID_JSON": arguments}
    return {"type": "tool_use", "id": text(call.id) or own_id, "name": text(function.name), "input": given}
