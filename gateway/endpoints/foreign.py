"""Removing from a request what another upstream's model thought, which this one cannot read and does without; and for
one that has refused a request, ids of its calls that only their maker takes.

A reasoning item is of one of two styles: encrypted, or named by its id alone, for the API that made it; or readable
text, as open models write it. Values that are kept are kept byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from breakeven.gateway.endpoints.call_ids import with_portable_ids
from breakeven.router.policy import Route

_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Items without which the rest of a conversation says the same.
_THOUGHTS = frozenset({"reasoning", "web_search_call", "file_search_call", "mcp_list_tools"})
_MESSAGE_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks")
_CALLS = frozenset({"tool_calls", "function_call"})
_PART_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
# Their ids name what is stored at their maker.
_WITH_OPTIONAL_ID = frozenset({"message", "function_call", "function_call_output"})


class _Item(msgspec.Struct):
    type: Any = None
    content: Any = None
    encrypted_content: Any = None


class _Message(msgspec.Struct):
    content: Any = None


_ITEM = msgspec.json.Decoder(_Item)
_MESSAGE = msgspec.json.Decoder(_Message)


def without_foreign_reasoning(raw: msgspec.Raw, route: Route, maker: Route | None) -> list[msgspec.Raw] | None:
    """The input items in `raw` without the reasoning that the upstream `route` cannot have made; None if all may stay.

    `maker` is the upstream that made the last answer, None if that is not known. The student cannot read what is
    encrypted or only named. The teacher is not sent readable reasoning if the student has answered, or where the
    teacher's own is of the other style.
    """
    items = _list(raw)
    styles = [_readable(item) for item in items]
    opaque = False in styles
    if route is Route.STUDENT:
        unwanted = False
    elif opaque or maker is Route.STUDENT:
        unwanted = True
    else:
        return None
    kept = [item for item, style in zip(items, styles, strict=True) if style is not unwanted]
    return kept if len(kept) < len(items) else None


def portable_items(raw: msgspec.Raw, route: Route) -> list[msgspec.Raw] | None:
    """The input items in `raw` without all that a model thought or looked up, and with ids of calls that every API
    takes; None if there is nothing of it.

    Items for the teacher lose their ids, which may name what another upstream stores.
    """
    kept: list[msgspec.Raw] = []
    changed = False
    items = _list(raw)
    for item, given in zip(with_portable_ids(items), items, strict=True):
        kind = _kind(item)
        changed = changed or item != given
        if kind in _THOUGHTS:
            changed = True
        elif kind in _WITH_OPTIONAL_ID and route is Route.TEACHER:
            fields = _FIELDS.decode(item)
            changed = fields.pop("id", None) is not None or changed
            kept.append(msgspec.Raw(msgspec.json.encode(fields)))
        else:
            kept.append(item)
    return kept if changed else None


def portable_messages(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    """The messages in `raw` without what a model thought, and with ids of calls that every API takes; None if there is
    nothing of it.

    A message that has nothing else is left out: APIs refuse one without content.
    """
    messages = _list(raw)
    cleaned = with_portable_ids([left for message in messages if (left := _without_thoughts(message)) is not None])
    return cleaned if cleaned != messages else None


def messages_without_unsigned(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    """The messages of the Messages API in `raw` without thinking that has no signature; None if there is nothing of it.

    An API that signs what its model thinks refuses what it has not signed.
    """
    messages = _list(raw)
    cleaned = [_without_parts(message, _unsigned) for message in messages]
    return cleaned if cleaned != messages else None


def _unsigned(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "thinking" and not part.get("signature")


def _without_parts(message: msgspec.Raw, unwanted: Callable[[object], bool]) -> msgspec.Raw:
    """A message without some parts of its content; the whole message where all of them are unwanted."""
    try:
        fields = _FIELDS.decode(message)
        parts = _RAWS.decode(fields.get("content", b""))
        kept = [part for part in parts if not unwanted(msgspec.json.decode(part))]
    except (msgspec.DecodeError, RecursionError):
        return message
    if not kept or len(kept) == len(parts):
        return message
    return msgspec.Raw(msgspec.json.encode({**fields, "content": kept}))


def _without_thoughts(message: msgspec.Raw) -> msgspec.Raw | None:
    """A message without what a model thought; None where nothing is left of it."""
    try:
        fields = _FIELDS.decode(message)
        content = _MESSAGE.decode(message).content
    except (msgspec.DecodeError, RecursionError):
        return message
    gone = [name for name in _MESSAGE_THOUGHTS if fields.pop(name, None) is not None]
    if isinstance(content, list):
        parts = [part for part in content if not (isinstance(part, dict) and part.get("type") in _PART_THOUGHTS)]
        if len(parts) < len(content):
            if not (parts or _CALLS & fields.keys()):
                return None
            gone.append("content")
            fields["content"] = msgspec.Raw(msgspec.json.encode(parts))
    return msgspec.Raw(msgspec.json.encode(fields)) if gone else message


def _list(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The values of an array; empty for anything else, such as an input that is one string."""
    try:
        return _RAWS.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return []


def _kind(item: msgspec.Raw) -> str:
    try:
        kind = _ITEM.decode(item).type
    except (msgspec.DecodeError, RecursionError):
        return ""
    return kind if isinstance(kind, str) else ""


def _readable(raw: msgspec.Raw) -> bool | None:
    """Whether a reasoning item is readable text, and not encrypted or only named; None for any other item."""
    try:
        item = _ITEM.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    if item.type != "reasoning":
        return None
    return bool(item.content) and not item.encrypted_content
