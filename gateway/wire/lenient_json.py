"""Reading JSON of upstreams that is not quite JSON: NaN, Infinity and -Infinity, which Python's encoder writes, a byte
order mark, and bytes that are no UTF-8. It is only read here; the client gets the bytes as they were sent.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# What a decoder raises for bytes that it cannot read.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_RAW = msgspec.json.Decoder(msgspec.Raw)
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_BOM = b"\xef\xbb\xbf"
# Strings are matched as a whole, so that nothing inside one is taken for a number.
_STRING_OR_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?Infinity|NaN', re.DOTALL)


def read(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode, with null for each number that JSON does not have, and U+FFFD for bytes that are no UTF-8. Raises one of
    UNREADABLE.
    """
    try:
        return decoder.decode(data)
    except UNREADABLE:
        again = read_again(decoder, data)
        if again is None:
            raise
        return again


def read_again(decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
    """Decode what the decoder has refused, with null for each number that JSON does not have, and U+FFFD for bytes that
    are no UTF-8; None where something else is wrong. Never raises.
    """
    cleaned = _STRING_OR_NUMBER.sub(_null_for_number, data.removeprefix(_BOM)).decode("utf-8", "replace").encode()
    if cleaned == data:
        return None
    try:
        return decoder.decode(cleaned)
    except UNREADABLE:
        return None


def read_object(data: bytes) -> dict[str, Any] | None:
    """The JSON object, with null for each number that JSON does not have; None where it is none. Never raises."""
    try:
        return read(_OBJECT, data)
    except UNREADABLE:
        return None


def readable(data: bytes) -> bool:
    """Whether it is one JSON value, of whatever kind. Never raises."""
    try:
        read(_RAW, data)
    except UNREADABLE:
        return False
    return True


def _null_for_number(found: re.Match[bytes]) -> bytes:
    text = found.group()
    return text if text.startswith(b'"') else b"null"
