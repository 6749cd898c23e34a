"""The events of one response, read in turns, so that no stream keeps the others waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec.structs

from breakeven.gateway.proxy.attempt_state import MAX_KEPT_BYTES, Attempt
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.wire.lenient_json import readable
from breakeven.gateway.wire.sse import Event, Scanner

# Of a long segment this many bytes are read at once, and after this many events the other streams get their turn.
_SLICE_BYTES, _TURN_EVENTS = 1 << 14, 1000


class EventSource:
    """Splits the body of a response into events, and keeps its beginning with the attempt."""

    def __init__(self, attempt: Attempt, response: UpstreamResponse) -> None:
        self._attempt = attempt
        self._response = response
        self._scanner = Scanner(attempt.upstream.config.max_event_bytes)
        self._room = MAX_KEPT_BYTES
        # What is still to be read of a long segment.
        self._rest = b""

    async def events(self) -> list[Event] | None:
        """The next events, none where only a part of one has come; None at the end.

        Raises as `UpstreamResponse.segment` does, and TooLong.
        """
        segment: bytes | None = self._rest
        if segment:
            await asyncio.sleep(0)
        else:
            segment = await self._response.segment()
        if segment is None:
            last = self._scanner.flush()
            if last is None or not _is_complete(last):
                return None
            return [msgspec.structs.replace(last, raw=last.raw.rstrip(b"\r\n") + b"\n\n")]
        self._rest = segment[_SLICE_BYTES:]
        return self._scan(segment[:_SLICE_BYTES])

    async def push(self, take: Callable[[list[Event]], bool]) -> None:
        """Call `take` with events from the read callback, as they arrive, until it returns False, the body ends, or
        the other streams are to have their turn; then and afterwards use `events`. Raises as `events` does.
        """
        if not self._rest:
            await self._response.read_into(lambda segment: self._taken(segment, take))

    def _taken(self, segment: bytes, take: Callable[[list[Event]], bool]) -> bool:
        if len(segment) <= _SLICE_BYTES:
            return take(self._scan(segment))
        count = 0
        for end in range(_SLICE_BYTES, len(segment) + _SLICE_BYTES, _SLICE_BYTES):
            found = self._scan(segment[end - _SLICE_BYTES : end])
            count += len(found)
            if not take(found) or count > _TURN_EVENTS:
                self._rest = segment[end:]
                return False
        return True

    def _scan(self, segment: bytes) -> list[Event]:
        if self._room > 0:
            # A reference, not a copy: the text is read only where the stream is cut off, or the answer compared.
            self._room -= len(segment)
            if self._room > 0:
                self._attempt.segments.append(segment)
            else:
                self._attempt.kept_events = self._attempt.events
        return self._scanner.feed(segment)


def _is_complete(event: Event) -> bool:
    """Whether a last event without its empty line has all its data; one that was cut off is not relayed."""
    if event.data is None:
        # What has no data may be cut off before it, unless it is a comment.
        return event.raw.startswith(b":")
    if event.data.strip() == b"[DONE]":
        return True
    return readable(event.data)
