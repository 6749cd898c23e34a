"""A client's JSON body: the top level decoded, every value kept byte for byte.

What is not edited goes upstream as it came (big integers, `1.0`, escapes, key order, unknown fields). What
was checked is what is sent: a body in which a key comes twice is refused, since two readers may differ on
which of the two counts.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Hashable
from typing import Any, TypeVar, cast

import msgspec

from breakeven.gateway.errors import RequestError

T = TypeVar("T")

_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
# A Raw equals another Raw, never bytes.
_NULL = msgspec.Raw(b"null")
_GAP = re.compile(rb"[ \t\r\n]*")


class Body:
    """One decoded request body. Values are read by `get`, changed by `set` and `remove`, sent by `encode`."""

    def __init__(self, raw: bytes) -> None:
        try:
            if not raw.isascii():
                raw.decode("utf-8")
            self._fields = _TOP.decode(raw)
        except UnicodeDecodeError:
            raise RequestError(400, "The body is not valid UTF-8.", code="invalid_json") from None
        except RecursionError:
            raise RequestError(400, "The body is nested too deeply.", code="invalid_json") from None
        except msgspec.ValidationError:
            raise RequestError(400, "The body must be a JSON object.", code="invalid_json") from None
        except msgspec.DecodeError:
            raise RequestError(
                400,
                "The body is not valid JSON; send a JSON object with content-type application/json.",
                code="invalid_json",
            ) from None
        self._raw = raw
        self._edited = False
        self._read: dict[tuple[str, Any], Any] = {}
        if not self._plain() and self._has_duplicates():
            raise RequestError(400, "A key comes twice in the body; send each key once.", code="duplicate_key")

    def __len__(self) -> int:
        """Bytes as they were received."""
        return len(self._raw)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def get(self, name: str, type: type[T] | Any, wanted: str) -> T | None:
        """The field as `type`, None where absent or null; `wanted` names the type in the 400. Not to be changed."""
        raw = self._fields.get(name)
        if raw is None or raw == _NULL:
            return None
        # Several rules read the same field, and messages may be large.
        if (name, type) in self._read:
            return cast(T, self._read[name, type])
        try:
            value = self._read[name, type] = _decoder(cast(Hashable, type)).decode(raw)
        except (msgspec.DecodeError, RecursionError):
            raise RequestError(400, f"'{name}' must be {wanted}.", param=name, code="invalid_type") from None
        return cast(T, value)

    def forget(self) -> None:
        """Drop what was read; a request that waits for its answer needs only the bytes."""
        self._read.clear()

    def set(self, name: str, value: object) -> None:
        """Replace or append a field."""
        encoded = msgspec.Raw(msgspec.json.encode(value))
        if self._fields.get(name) != encoded:
            self._fields[name] = encoded
            self._changed()

    def rename(self, old: str, new: str) -> None:
        """Move a value to another name, in place of the key order; an existing `new` gives way."""
        if old in self._fields:
            self._fields = {
                (new if key == old else key): raw for key, raw in self._fields.items() if key == old or key != new
            }
            self._changed()

    def remove(self, name: str) -> None:
        """Take a field out; nothing where it is absent."""
        if self._fields.pop(name, None) is not None:
            self._changed()

    def copy(self) -> Body:
        """A body to edit for one attempt."""
        other = object.__new__(Body)
        other._fields = dict(self._fields)
        other._raw = self._raw
        other._edited = self._edited
        other._read = {}
        return other

    def encode(self) -> bytes:
        """The bytes to send: as received where nothing was edited."""
        if not self._edited:
            return self._raw
        parts: list[bytes | memoryview] = []
        for name, raw in self._fields.items():
            parts += (b"," if parts else b"{", _key(name), b":", memoryview(raw))
        return b"".join((*parts, b"}")) if parts else b"{}"

    def _changed(self) -> None:
        self._edited = True
        self._read.clear()

    def _plain(self) -> bool:
        """Whether the fields that were kept, in their order, are all there is in the body.

        False for one with a duplicate, and for one with escapes in its keys.
        """
        raw, position = self._raw, _GAP.match(self._raw).end()  # type: ignore[union-attr]
        mark = b"{"
        for name, value in self._fields.items():
            for part in (mark, _key(name), b":", memoryview(value)):
                if not raw.startswith(part, position):
                    return False
                position = _GAP.match(raw, position + len(part)).end()  # type: ignore[union-attr]
            mark = b","
        return not self._fields or raw[position : position + 1] == b"}"

    def _has_duplicates(self) -> bool:
        pairs: list[tuple[str, Any]] = []

        def outermost(found: list[tuple[str, Any]]) -> None:
            # Objects are finished from the inside out, so that the last call has the top level.
            pairs[:] = found

        try:
            json.loads(self._raw, object_pairs_hook=outermost)
        except RecursionError:
            return True
        return len(pairs) != len(self._fields)


@functools.cache
def _decoder(type: Any) -> msgspec.json.Decoder[Any]:
    # To build one for each call costs more than to decode a small field. The types are those that our code names.
    return msgspec.json.Decoder(type, strict=True)


def _key(name: str) -> bytes:
    return msgspec.json.encode(name)
