"""A client's JSON body: only the top level is decoded, and every value is kept byte for byte.

What is not edited is forwarded as received (big integers, `1.0`, escapes, key order, unknown fields). A body with
duplicate keys is rejected: parsers differ on which of them counts, so the upstream might see another value than the
one that was checked here.
"""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

import msgspec

from breakeven.gateway.errors import RequestError
from breakeven.gateway.wire.lenient_json import UNREADABLE, fields_of, in_utf8, read_as_python

T = TypeVar("T")

_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
# To compare with fields: a Raw is equal to another Raw, never to bytes.
_NULL, _TRUE, _FALSE = msgspec.Raw(b"null"), msgspec.Raw(b"true"), msgspec.Raw(b"false")
# As long as an integer of 64 bits may be, and more.
# pydantic takes any underscores among leading zeros, and single ones between other digits.
_DIGITS = re.compile(r"\s*([+-]?)(?:0[0_]*(?=[0-9]))?([0-9](?:_?[0-9]){0,30})(?:\.0+)?\s*")
_FLAGS = {
    **dict.fromkeys(("1", "on", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "off", "f", "false", "n", "no"), False),
}
_building = threading.Lock()
_WHITESPACE = re.compile(rb"[ \t\r\n]*")
# Of a Raw in bytes; its type does not declare it.
_length = cast(Callable[[msgspec.Raw], int], len)


class Body:
    """One request body: `get` reads a field, `set`, `rename` and `remove` edit, `encode` gives the bytes to send, which
    are of `content_type`.
    """

    content_type = "application/json"

    def __init__(self, raw: bytes) -> None:
        """`raw`: JSON, also such as only Python's decoder takes. Raises RequestError 400 for anything but an object
        without duplicate keys.
        """
        try:
            # Some editors and shells write a byte order mark, or UTF-16; parsers differ on whether they take it.
            raw = in_utf8(raw)
            self._fields = _fields(raw)
        except UnicodeDecodeError:
            raise RequestError(400, "The body is not valid UTF-8.", code="invalid_json") from None
        except RecursionError:
            raise RequestError(400, "The body is nested too deeply.", code="invalid_json") from None
        except msgspec.ValidationError:
            raise RequestError(400, "The body must be a JSON object.", code="invalid_json") from None
        except (msgspec.DecodeError, ValueError):
            raise RequestError(
                400,
                "The body is not valid JSON; send a JSON object with content-type application/json.",
                code="invalid_json",
            ) from None
        self._raw = raw
        self._edited = False
        self._read: dict[tuple[str, Any], Any] = {}
        if not self._matches_raw() and self._has_duplicates():
            raise RequestError(400, "A key comes twice in the body; send each key once.", code="duplicate_key")

    def __len__(self) -> int:
        """Bytes as they were received, without a byte order mark."""
        return len(self._raw)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether any of these fields is there, null or not: cheaper than to read each."""
        return not names.isdisjoint(self._fields)

    def get(self, name: str, type: type[T] | Any, expected: str) -> T | None:
        """The field decoded as `type`, None where absent or null. The value is cached: do not modify it.

        Raises RequestError 400 for another type, with `expected` in its message.
        """
        raw = self._fields.get(name)
        if raw is None or raw == _NULL:
            return None
        # Several rules read the same field, and decoding long messages is slow.
        if (name, type) in self._read:
            return cast(T, self._read[name, type])
        if type is msgspec.Raw:
            return cast(T, raw)
        decoder = _decoder(cast(Hashable, type))
        try:
            try:
                value = decoder.decode(raw)
            except (msgspec.DecodeError, RecursionError):
                value = read_as_python(decoder, bytes(raw))
        except (*UNREADABLE, ValueError):
            raise RequestError(400, f"'{name}' must be {expected}.", param=name, code="invalid_type") from None
        self._read[name, type] = value
        return cast(T, value)

    def integer(self, name: str) -> int | None:
        """The number in a field, also one that is written as `16.0` or `"16"`, as vLLM takes it.

        None where it is absent, null, or no integer: the upstream then says what it thinks of it.
        """
        # Most requests have none of the numbers that are asked for.
        if name not in self._fields:
            return None
        try:
            return as_integer(self.get(name, Any, "an integer"))
        except RequestError:
            return None

    def boolean(self, name: str) -> bool:
        """The flag in a field, also one that is written as `1` or `"yes"`, as vLLM takes it; False if absent or null.

        Raises RequestError 400 for anything else.
        """
        raw = self._fields.get(name)
        if raw is None or raw in (_FALSE, _NULL):
            return False
        found = True if raw == _TRUE else as_boolean(self.get(name, Any, "true or false"))
        if found is None:
            raise RequestError(400, f"'{name}' must be true or false.", param=name, code="invalid_type")
        return found

    def is_null(self, name: str) -> bool:
        """Whether a field is absent or null."""
        return self._fields.get(name, _NULL) == _NULL

    def clear_cache(self) -> None:
        """Free the decoded values: while a request waits for its response only the bytes are needed."""
        self._read.clear()

    def set(self, name: str, value: object) -> None:
        """Replace a field, or append it as the last one; `value` is encoded as JSON."""
        encoded = msgspec.Raw(msgspec.json.encode(value))
        if self._fields.get(name) != encoded:
            self._fields[name] = encoded
            self._changed()

    def edit(self, name: str, change: Callable[[msgspec.Raw], object | None]) -> bool:
        """Replace a field by what `change` makes of its JSON, unless that is None; whether it was replaced."""
        raw = self._fields.get(name)
        value = change(raw) if raw is not None else None
        if value is None:
            return False
        self.set(name, value)
        return True

    def rename(self, old: str, new: str) -> None:
        """Rename a field, keeping its position; a field that is already called `new` is removed."""
        if old in self._fields:
            self._fields = {
                (new if key == old else key): raw for key, raw in self._fields.items() if key == old or key != new
            }
            self._changed()

    def remove(self, name: str) -> None:
        """Remove a field if it is there."""
        if self._fields.pop(name, None) is not None:
            self._changed()

    def copy(self) -> Body:
        """An independent copy to edit for one attempt; the values themselves are shared."""
        other = object.__new__(Body)
        other._fields = dict(self._fields)
        other._raw = self._raw
        other._edited = self._edited
        other._read = {}
        return other

    def encode(self) -> bytes:
        """The body as JSON: as received if nothing was edited, else the fields in order without spaces between them."""
        if not self._edited:
            return self._raw
        parts: list[bytes | memoryview] = []
        for name, raw in self._fields.items():
            parts += (b"," if parts else b"{", _key(name), b":", memoryview(raw))
        return b"".join((*parts, b"}")) if parts else b"{}"

    def _changed(self) -> None:
        self._edited = True
        self._read.clear()

    def _matches_raw(self) -> bool:
        """Whether the raw bytes contain exactly the decoded fields, in order: a cheap proof that no key is duplicated.

        Also False for a body with escapes in its keys, which needs the slow check.
        """
        fields = self._fields
        # The fewest bytes with these fields: two quotes, a colon and a comma each, and the braces. A second field of
        # the same name would be more. Most clients write no spaces, so that this is all.
        if len(self._raw) == 1 + 4 * len(fields) + sum(map(len, fields)) + sum(map(_length, fields.values())):
            return True
        raw, position = self._raw, _WHITESPACE.match(self._raw).end()  # type: ignore[union-attr]
        mark = b"{"
        for name, value in fields.items():
            for part in (mark, _key(name), b":", memoryview(value)):
                if not raw.startswith(part, position):
                    return False
                position = _WHITESPACE.match(raw, position + len(part)).end()  # type: ignore[union-attr]
            mark = b","
        return not fields or raw[position : position + 1] == b"}"

    def _has_duplicates(self) -> bool:
        pairs: list[tuple[str, Any]] = []

        def outermost(found: list[tuple[str, Any]]) -> None:
            # Called for inner objects first, so that the last call has the top level.
            pairs[:] = found

        try:
            json.loads(self._raw, object_pairs_hook=outermost)
        except RecursionError:
            return True
        return len(pairs) != len(self._fields)


def _fields(raw: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _TOP.decode(raw)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return {name: msgspec.Raw(value) for name, value in fields_of(raw).items()}


def as_integer(value: object) -> int | None:
    """A decoded JSON value as an integer, read as pydantic reads it by default; None where it is none."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    found = _DIGITS.fullmatch(value) if isinstance(value, str) else None
    return int(found[1] + found[2]) if found else None


def as_boolean(value: object) -> bool | None:
    """A decoded JSON value as a flag, read as pydantic reads it by default; None where it is none."""
    if isinstance(value, str):
        return _FLAGS.get(value.lower())
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


@functools.cache
def _decoder(type: Any) -> msgspec.json.Decoder[Any]:
    # Building a decoder costs more than decoding a small field. The number of types is bounded by the callers.
    # Where two threads use a type of msgspec for the first time at once, it crashes the process.
    with _building:
        return msgspec.json.Decoder(type, strict=True)


def _key(name: str) -> bytes:
    return msgspec.json.encode(name)
