"""Ids of tool calls that every API takes, in the place of those that only their maker does.

OpenAI refuses ids of more than 40 characters, such as a vLLM writes, and Anthropic those with other characters than
letters, digits, underscores and hyphens, as some models write. Values that are kept are kept byte for byte.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_TAKEN = re.compile(r"[A-Za-z0-9_-]{1,40}")
# Fields with the id of a call in a message or an item, and in the parts of one.
_OF_A_CALL = ("tool_call_id", "call_id", "tool_use_id")
_WITH_PARTS = ("tool_calls", "content")
_PART_TYPES = frozenset({b'"tool_use"', b'"function"', b'"custom"'})


def with_portable_ids(messages: list[msgspec.Raw]) -> list[msgspec.Raw]:
    """Messages or input items in which each id of a call that some API refuses is replaced, everywhere by the same."""
    return [_object(message, part=False) for message in messages]


def portable(id: str) -> str:
    """The id, or one that follows from it and that every API takes."""
    return id if _TAKEN.fullmatch(id) else f"call_{hashlib.sha256(id.encode()).hexdigest()[:32]}"


def _object(raw: msgspec.Raw, *, part: bool) -> msgspec.Raw:
    try:
        fields = _FIELDS.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw
    changed: dict[str, msgspec.Raw] = {}
    called = part and bytes(fields.get("type", b"")) in _PART_TYPES
    for name in (*_OF_A_CALL, "id") if called else _OF_A_CALL:
        if name in fields:
            changed[name] = _id(fields[name])
    for name in () if part else _WITH_PARTS:
        if name in fields:
            changed[name] = _parts(fields[name])
    if all(fields[name] == value for name, value in changed.items()):
        return raw
    return msgspec.Raw(msgspec.json.encode({**fields, **changed}))


def _id(raw: msgspec.Raw) -> msgspec.Raw:
    try:
        given = _TEXT.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw
    found = portable(given)
    return raw if found == given else msgspec.Raw(msgspec.json.encode(found))


def _parts(raw: msgspec.Raw) -> msgspec.Raw:
    try:
        parts = _RAWS.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw
    changed = [_object(part, part=True) for part in parts]
    return raw if changed == parts else msgspec.Raw(msgspec.json.encode(changed))
