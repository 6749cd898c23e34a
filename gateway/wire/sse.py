"""An incremental scanner of server-sent events over bytes.

It splits a byte stream into events, however it is segmented, and keeps the original bytes of each, so that an event
that is not edited is relayed as sent. Grammar: WHATWG HTML, section 9.2.5; lines end in LF, CRLF or a bare CR, an event
ends with an empty line.
"""

from __future__ import annotations

import re

import msgspec

from breakeven.gateway.errors import TooLong

# Atomic groups: the CR and the LF of one CRLF must never count as two line ends.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_CONTENT = re.compile(rb"[^\r\n]")
_BOM = b"\xef\xbb\xbf"
# Of the fields and of a comment.
_FIRST_BYTES = (b"d", b"e", b"i", b"r", b":")
_FIELDS = (b"data", b"event", b"id", b"retry")
_FIRST_LINE = re.compile(rb"(?:data|event|id|retry)?:|(?:data|event|id|retry)[\r\n]")


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event: its bytes as received, its data lines joined by LF (None without any), and its `event` field."""

    raw: bytes
    data: bytes | None
    name: bytes | None


class Scanner:
    """Returns each event as soon as its empty line has been fed. Takes time linear in what it is fed."""

    def __init__(self, most: int | None = None) -> None:
        """`most`: how many bytes an event may have before its empty line; None: any number."""
        self._most = most
        self._buffer = bytearray()
        self._searched = 0
        self._started = False

    def feed(self, segment: bytes) -> list[Event]:
        """Append a segment of any size; returns the events that it completes. Raises TooLong."""
        buffer = self._buffer
        # Fast path: nearly every segment of a model server is one whole event.
        if not buffer and self._started and b"\r" not in segment and segment.find(b"\n\n") == len(segment) - 2 >= 1:
            return [_parse(segment, segment)]
        if buffer and b"\n\n" in segment and b"\r" not in buffer:
            segment = bytes(buffer) + segment
            buffer.clear()
        # Others are a few whole events, maybe with the beginning of the next one; the first one may have a BOM.
        if not buffer and (self._started or segment[:1] in _FIRST_BYTES) and b"\r" not in segment:
            end = segment.rfind(b"\n\n") + 2
            if end >= 2 and b"\n\n\n" not in segment and not segment.startswith(b"\n"):
                self._started = True
                buffer += segment[end:]
                self._searched = max(0, len(buffer) - 3)
                return [_parse(raw, raw) for raw in [part + b"\n\n" for part in segment[: end - 2].split(b"\n\n")]]
        return self._scan(segment)

    def _scan(self, segment: bytes) -> list[Event]:
        """`feed`, of any line ends and segmentation."""
        buffer = self._buffer
        buffer += segment
        events: list[Event] = []
        start, position = 0, self._searched
        while True:
            # Line ends at the very start of an event are empty lines, or the LF of a CRLF whose CR ended the event
            # before; they do not end an event with content in it, and belong to the next one.
            content = _CONTENT.search(buffer, start)
            match = _BLANK_LINE.search(buffer, start if content is None else max(position, content.start()))
            # In a CRLF stream the LF of the empty line may come with the next segment.
            if match is None or (match.end() == len(buffer) and match.group() == b"\r\n\r"):
                break
            if content is None:
                # Passed on as it came: a server may keep the connection alive with it.
                events.append(Event(bytes(buffer[start:]), None, None))
                start = len(buffer)
                break
            events.append(self._event(bytes(buffer[start : match.end()])))
            start = position = match.end()
        if start:
            del buffer[:start]
        if self._most is not None and len(buffer) > self._most:
            raise TooLong(f"an event has more than {self._most} bytes")
        self._searched = max(0, len(buffer) - 3)
        return events

    def flush(self) -> Event | None:
        """The rest of the buffer at the end of the stream, as an event without its empty line; None if it is empty."""
        if not self._buffer:
            return None
        raw = bytes(self._buffer)
        self._buffer.clear()
        return self._event(raw)

    def _event(self, raw: bytes) -> Event:
        if not self._started:
            self._started = True
            return _parse(raw, raw.removeprefix(_BOM))
        return _parse(raw, raw)


def starts_events(head: bytes) -> bool | None:
    """Whether a body with these first bytes is a stream of events; None where more of them are needed to tell.

    It is if its first line that is not empty is a comment or has the name of one of the four fields.
    """
    if _BOM.startswith(head):
        return None
    text = head.removeprefix(_BOM).lstrip(b" \t\r\n")
    if _FIRST_LINE.match(text):
        return True
    return None if any(field.startswith(text) for field in _FIELDS) else False


def _parse(raw: bytes, text: bytes) -> Event:
    # Fast path for the common case, one line `data: …` and an empty line.
    if text.startswith(b"data: ") and text.endswith(b"\n\n"):
        data = text[6:-2]
        if b"\n" not in data and b"\r" not in data:
            return Event(raw, data, None)
    lines: list[bytes] = []
    name: bytes | None = None
    for line in text.splitlines():
        field, colon, value = line.partition(b":")
        if not field and colon:
            continue
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    return Event(raw, b"\n".join(lines) if lines else None, name)
