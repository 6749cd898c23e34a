"""The messages and content blocks of Anthropic's Messages API, as far as they are read here."""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.errors import RequestError, Untranslatable
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.lenient_json import UNREADABLE, read_as_python

# Claude Code begins its system prompt with such a block, whose text differs in every request and is not for the model.
_BILLING = "x-anthropic-billing-header"


class Tool(msgspec.Struct):
    """One offered tool; without a type, or with `custom`, it has a schema of its own."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = msgspec.Raw(b"{}")
    strict: bool | None = None


class ToolChange(msgspec.Struct):
    """A tool that a block adds or removes in the middle of a conversation: its name, or all of it."""

    name: str | None = None
    definition: Tool | None = None


class Block(msgspec.Struct):
    """One content block, or a tool's result within one. `input` is kept as it was sent."""

    type: str = ""
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str | None = None
    tool_name: str | None = None
    content: str | list[Block] | dict[str, Any] | None = None
    is_error: bool | None = None
    source: dict[str, Any] | None = None
    tool: ToolChange | None = None
    citations: Any = None


class Message(msgspec.Struct):
    """One message: its text, or its content blocks."""

    role: str = ""
    content: str | list[Block] = ""


class ToolChoice(msgspec.Struct):
    """Which tools may or must be called."""

    type: str = "auto"
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (list[Message], list[Tool], ToolChoice, str | list[Block], list[Any], dict[str, Any])
}


def field(body: Body, name: str, kind: Any) -> Any:
    """A field of the body as `kind`, one of those in _DECODERS; None where it is absent or null.

    Raises RequestError 400 where it is something else; the text says where, and no value.
    """
    if body.is_null(name):
        return None
    given, decoder = bytes(body.get(name, msgspec.Raw, "valid") or b"null"), _DECODERS[kind]
    try:
        return decoder.decode(given)
    except UNREADABLE as refusal:
        error: Exception = refusal
    try:
        return read_as_python(decoder, given)
    except (*UNREADABLE, ValueError):
        raise RequestError(400, f"'{name}' is not valid: {error}", param=name, code="invalid_type") from None


def is_billing(text: object) -> bool:
    """Whether a block of the system prompt is Claude Code's note to Anthropic's accounting."""
    return isinstance(text, str) and text.startswith(_BILLING)


def refused(what: str, param: str) -> Untranslatable:
    """The refusal of a request that has `what` in it."""
    return Untranslatable(
        400,
        f"The upstream speaks only chat completions, which cannot express {what}; remove it, or ask the operator for "
        "an upstream that speaks the Messages API.",
        param=param,
        code="not_translatable",
    )
