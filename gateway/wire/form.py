"""A client's multipart form, such as a transcription's: its short text fields are read, and all of it is kept as sent.

A form is given to the request path as a Body whose fields are the form's text fields. Only what is edited changes: a
value is replaced, a part is left out or put in front; all other bytes, files among them, go upstream as received.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from breakeven.gateway.errors import RequestError
from breakeven.gateway.wire.body import Body

MULTIPART = "multipart/form-data"
# The fields that are read or edited are names and flags. A longer field is only passed on.
_TEXT_BYTES = 1 << 16
# Of these a parser might take the first or the last. Others may come several times, such as `image[]`.
_ONCE = frozenset({"model", "stream"})
# The parser is slow where a boundary is begun, and what only looks like one costs as much.
_MOST_PARTS = 1000


class _Part(NamedTuple):
    """One part of a form.

    `begin` is where its boundary line begins, `end` where the next one does; the value is from `value` to `value_end`.
    `text` is the value of a field, None for a file or a long text.
    """

    begin: int
    value: int
    value_end: int
    end: int
    name: str
    text: str | None


class Form(Body):
    """A body that is a multipart form. `content_type` has its boundary and goes upstream with it."""

    def __init__(self, raw: bytes, content_type: str) -> None:
        """`content_type`: the header that came with `raw`. Raises RequestError 400 for what is no such form, and where
        `model` or `stream` comes twice.
        """
        _, options = parse_options_header(content_type)
        self._boundary = options.get(b"boundary", b"")
        self._parts = _parts(raw, self._boundary)
        names = [part.name for part in self._parts]
        if any(names.count(name) > 1 for name in _ONCE):
            raise RequestError(400, "A field comes twice in the form; send it once.", code="duplicate_key")
        given = [(part.name, part.text) for part in self._parts if part.text is not None]
        self._fields = {name: msgspec.Raw(msgspec.json.encode(text)) for name, text in given}
        self._given = dict(self._fields)
        self._raw = raw
        self._edited = False
        self._read = {}
        self.content_type = content_type

    def copy(self) -> Form:
        """An independent copy to edit for one attempt; the bytes are shared."""
        other = object.__new__(Form)
        other.__dict__.update(self.__dict__, _fields=dict(self._fields), _read={})
        return other

    def encode(self) -> bytes:
        """The form: as received if nothing was edited, else with the fields that were set, without those removed."""
        if not self._edited:
            return self._raw
        raw, position = memoryview(self._raw), self._parts[0].begin
        pieces: list[bytes | memoryview] = [raw[:position]]
        for name in self._fields.keys() - self._given.keys():
            head = b'--%b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n' % (self._boundary, name.encode())
            pieces.append(b"%b%b\r\n" % (head, self._text(name)))
        for part in self._parts:
            if self._fields.get(part.name) == self._given.get(part.name):
                continue
            if part.name in self._fields:
                pieces += (raw[position : part.value], self._text(part.name))
                position = part.value_end
            else:
                pieces.append(raw[position : part.begin])
                position = part.end
        return b"".join((*pieces, raw[position:]))

    def _text(self, name: str) -> bytes:
        return msgspec.json.decode(self._fields[name], type=str).encode()


class _Reader:
    """The callbacks of the parser, which gets the whole form at once: what it counts from is the form's beginning."""

    def __init__(self, raw: bytes, boundary: bytes) -> None:
        self.parts: list[_Part] = []
        self.ended = False
        self._raw = raw
        self._line = b"--" + boundary
        self._field = self._value = b""
        self.on_part_begin()

    def on_part_begin(self) -> None:
        self._begin = self._head_end = self._data_end = -1
        self._name: str | None = None
        self._is_file = False

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        if self._begin < 0:
            self._begin = self._raw.rfind(self._line, 0, start)
        self._field = data[start:end].lower()
        # A header without a value has no callback for it.
        self._value, self._head_end = b"", end + 1

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value, self._head_end = data[start:end], end

    def on_header_end(self) -> None:
        if self._field == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._name = options[b"name"].decode("utf-8", "replace") if b"name" in options else None
            self._is_file = b"filename" in options

    def on_part_data(self, _data: bytes, _start: int, end: int) -> None:
        self._data_end = end

    def on_part_end(self) -> None:
        if self._name is None:
            raise _not_a_form()
        value = self._raw.index(b"\r\n\r\n", self._head_end) + 4
        end = max(value, self._data_end)
        self.parts.append(_Part(self._begin, value, end, end + 2, self._name, self._read(value, end)))

    def on_end(self) -> None:
        self.ended = True

    def _read(self, value: int, end: int) -> str | None:
        if self._is_file or end - value > _TEXT_BYTES:
            return None
        try:
            return self._raw[value:end].decode()
        except UnicodeDecodeError:
            return None


def _parts(raw: bytes, boundary: bytes) -> list[_Part]:
    """The parts in order, at least one. Raises RequestError 400."""
    if not boundary or raw.count(b"--" + boundary) > _MOST_PARTS:
        raise _not_a_form()
    reader = _Reader(raw, boundary)
    names = ("part_begin", "header_field", "header_value", "header_end", "part_data", "part_end", "end")
    try:
        MultipartParser(boundary, {f"on_{name}": getattr(reader, f"on_{name}") for name in names}).write(raw)  # type: ignore[arg-type]
    except FormParserError:
        raise _not_a_form() from None
    if not (reader.ended and reader.parts):
        raise _not_a_form()
    return reader.parts


def _not_a_form() -> RequestError:
    return RequestError(
        400,
        "The body is not a multipart form; send parts with names, and the boundary in content-type.",
        code="invalid_form",
    )
