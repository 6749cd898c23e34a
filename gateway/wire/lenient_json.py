"""Reading what is not quite JSON: NaN, Infinity and -Infinity, which Python's encoder writes, a byte order mark, and
bytes that are no UTF-8; in requests also halves of surrogate pairs and UTF-16, which servers in Python take as well. It
is only read here; everything is passed on as it was sent.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# What a decoder raises for bytes that it cannot read.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_RAW = msgspec.json.Decoder(msgspec.Raw)
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_PYTHON = json.JSONDecoder()
_WHITESPACE = re.compile(r"[ \t\r\n]*")
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


def in_utf8(body: bytes) -> bytes:
    """A client's JSON in UTF-8 and without a byte order mark, from whichever of the encodings of Unicode it is in.

    Raises UnicodeDecodeError.
    """
    # In the others one of the first two characters, which are ASCII, has a zero, if there is no mark.
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in body[:4]:
        return body.decode(json.detect_encoding(body)).encode()
    body = body.removeprefix(_BOM)
    if not body.isascii():
        body.decode()
    return body


def fields_of(body: bytes) -> dict[str, bytes]:
    """The fields of a client's JSON object as they were sent, as Python's decoder finds them; of a field that comes
    twice the last one. Raises ValueError for what is no object, and RecursionError.
    """
    text = body.decode()
    found: dict[str, bytes] = {}
    at = _expect(text, 0, "{")
    while text[at : at + 1] != "}" or found:
        name, at = _PYTHON.raw_decode(text, at)
        if not isinstance(name, str):
            raise ValueError("a name is no string")
        start = _expect(text, at, ":")
        _, at = _PYTHON.raw_decode(text, start)
        # A name that is no Unicode raises here.
        found[name.encode().decode()] = text[start:at].encode()
        at = _space(text, at)
        if text[at : at + 1] == "}":
            break
        at = _expect(text, at, ",")
    if _space(text, at + 1) != len(text):
        raise ValueError("something follows the object")
    return found


def read_as_python(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode a client's JSON that the decoder has refused and Python's takes: null for what is no number, and ? for
    half of a surrogate pair. Raises one of UNREADABLE, or ValueError.
    """
    value = json.loads(data, parse_constant=lambda _: None, parse_float=_finite)
    return read(decoder, json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _expect(text: str, at: int, sign: str) -> int:
    """The place behind a sign, and behind the space around it."""
    at = _space(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"no {sign}")
    return _space(text, at + 1)


def _space(text: str, at: int) -> int:
    return _WHITESPACE.match(text, at).end()  # type: ignore[union-attr]


def _null_for_number(found: re.Match[bytes]) -> bytes:
    text = found.group()
    return text if text.startswith(b'"') else b"null"
