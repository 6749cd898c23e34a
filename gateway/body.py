"""A client's JSON body: the top level decoded, every value kept byte for byte.

What is not edited goes upstream as it came (big integers, `1.0`, escapes, key order, unknown fields). What
was checked is what is sent: with duplicate keys the last one counts, and only that one goes upstream.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from gateway.errors import RequestError

T = TypeVar("T")

_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_WHITE = b" \t\r\n"


class Body:
    """One decoded request body. Values are read by `get`, changed by `set` and `remove`, sent by `encode`."""

    def __init__(self, raw: bytes) -> None:
        try:
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

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def get(self, name: str, type: type[T] | Any, wanted: str) -> T | None:
        """The field as `type`, None where absent or null; `wanted` names the type in the 400."""
        raw = self._fields.get(name)
        if raw is None or raw == b"null":
            return None
        try:
            return msgspec.json.decode(raw, type=type, strict=True)
        except (msgspec.DecodeError, RecursionError):
            raise RequestError(400, f"'{name}' must be {wanted}.", param=name, code="invalid_type") from None

    def set(self, name: str, value: object) -> None:
        """Replace or append a field."""
        encoded = msgspec.Raw(msgspec.json.encode(value))
        if self._fields.get(name) != encoded:
            self._fields[name] = encoded
            self._edited = True

    def rename(self, old: str, new: str) -> None:
        """Move a value to another name, in place of the key order; an existing `new` gives way."""
        if old in self._fields:
            self._fields = {
                (new if key == old else key): raw for key, raw in self._fields.items() if key == old or key != new
            }
            self._edited = True

    def remove(self, name: str) -> None:
        """Take a field out; nothing where it is absent."""
        if self._fields.pop(name, None) is not None:
            self._edited = True

    def copy(self) -> Body:
        """A body to edit for one attempt."""
        other = object.__new__(Body)
        other._fields = dict(self._fields)
        other._raw = self._raw
        other._edited = self._edited
        return other

    def encode(self) -> bytes:
        """The bytes to send: as received where nothing was edited and no key came twice."""
        rebuilt = b"{%b}" % b",".join(b"%b:%b" % (_key(name), bytes(raw)) for name, raw in self._fields.items())
        if self._edited or (len(rebuilt) != len(self._raw) and self._lost_a_key(rebuilt)):
            return rebuilt
        return self._raw

    def _lost_a_key(self, rebuilt: bytes) -> bool:
        """Whether the body as received has more keys than were kept; white space and escapes may differ."""
        if len(rebuilt.translate(None, _WHITE)) == len(self._raw.translate(None, _WHITE)):
            return False
        pairs: list[tuple[str, Any]] = []

        def outermost(found: list[tuple[str, Any]]) -> None:
            # Objects are finished from the inside out, so that the last call has the top level.
            pairs[:] = found

        try:
            json.loads(self._raw, object_pairs_hook=outermost)
        except RecursionError:
            return True
        return len(pairs) != len(self._fields)


def _key(name: str) -> bytes:
    return msgspec.json.encode(name)
