"""The response of an upstream: status, filtered headers, and the body as it arrives."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator

from breakeven.gateway.errors import TooLong
from breakeven.gateway.upstreams.transports.interface import Received
from breakeven.gateway.wire import content_encoding
from breakeven.gateway.wire.sse import starts_events

# Response headers that are forwarded to the client; others could reveal internals of the upstream.
_FORWARDED_HEADERS = re.compile(
    r"content-type|retry-after|retry-after-ms|x-ratelimit-.*|anthropic-ratelimit-.*|openai-processing-ms|openai-version"
)
# Under which the provider knows the request, so that its support can find it; the first in this order counts.
_REQUEST_IDS = {
    b"x-request-id": 0,
    b"request-id": 1,
    b"apim-request-id": 2,
    b"x-amzn-requestid": 3,
    b"x-ms-request-id": 4,
    b"x-generation-id": 5,
    b"x-trace-id": 6,
    b"cf-ray": 7,
}
_REQUEST_ID = re.compile(rb"[!-~]{1,128}")
# How many bytes may come before it is known whether a body is a stream of events.
_UNDECIDED_BYTES = 4096


class Whole:
    """The body of an answer that is no stream, of at most `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, segment: bytes) -> None:
        """Append a part. Raises TooLong."""
        self._parts.append(segment)
        self._size += len(segment)
        if self._size > self._most:
            raise TooLong(f"the answer has more than {self._most} bytes")

    def body(self) -> bytes:
        """All of it; a single part, the common case, is not copied."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


class UpstreamResponse:
    """A response whose head has arrived. `headers` are those to forward, names in lower case; `request_id` is what the
    provider calls the request, None where it does not say.
    """

    def __init__(self, connection: Received) -> None:
        self._connection: Received | None = connection
        self.status = connection.status
        self.headers: dict[str, str] = {}
        self.request_id: str | None = None
        self._encoding: str | None = None
        self._decoder: content_encoding.Decoder | None = None
        self._pieces: Iterator[bytes] | None = None
        ranked = len(_REQUEST_IDS)
        for raw, value in connection.headers:
            if raw == b"content-encoding":
                text = value.decode("latin-1")
                self._encoding = text if self._encoding is None else f"{self._encoding}, {text}"
                continue
            name = _forwarded_name(raw)
            if name is not None:
                text = value.decode("latin-1")
                if name == "content-type" and name in self.headers:
                    # Two of them are a mistake; joined they would be the name of no type.
                    continue
                self.headers[name] = f"{self.headers[name]}, {text}" if name in self.headers else text
            elif (rank := _REQUEST_IDS.get(raw, ranked)) < ranked and _REQUEST_ID.fullmatch(value):
                ranked = rank
                self.request_id = value.decode("ascii")
        self.content_type = self.headers.get("content-type", "")

    @property
    def streams(self) -> bool:
        """Whether the content type says that the body is a stream of server-sent events."""
        return self.content_type.partition(";")[0].strip().lower() == "text/event-stream"

    async def is_event_stream(self) -> bool:
        """Whether the body is a stream of server-sent events by its content type or, where that is another or missing,
        by its first bytes, for which this waits. Raises as `segment` does.
        """
        if self.streams:
            return True
        begun = b""
        found = None
        while found is None and (segment := await self.segment()) is not None:
            begun += segment
            found = starts_events(begun)
            if found is None and len(begun) > _UNDECIDED_BYTES:
                break
        self._pieces = itertools.chain((begun,), self._pieces or ())
        return bool(found)

    async def segment(self) -> bytes | None:
        """The next part of the body, None at the end. Decompressed if the upstream ignored accept-encoding: identity.

        Raises ConnectionLost, and ValueError for a body that cannot be decompressed.
        """
        assert self._connection is not None, "the response is closed"
        if self._pieces is not None:
            for piece in self._pieces:
                return piece
        data = await self._connection.read()
        if self._encoding is None:
            return data
        if self._decoder is None:
            self._decoder = content_encoding.decoder(self._encoding)
            if self._decoder is None:
                self._encoding = None
                return data
        if data is None:
            self._decoder.end()
            return None
        self._pieces = self._decoder.decode(data)
        return next(self._pieces, b"")

    async def read_into(self, sink: Callable[[bytes], bool]) -> None:
        """Read in push mode: call `sink` with each part as it arrives, until it returns False or the body ends.

        Returns at once if the body is compressed, or parts are buffered already; then and afterwards use `segment`.
        See `Received.read_into`.
        """
        assert self._connection is not None, "the response is closed"
        if self._encoding is None:
            await self._connection.read_into(sink)

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body, or its first `limit` bytes."""
        parts, size = [], 0
        while (limit is None or size < limit) and (segment := await self.segment()) is not None:
            parts.append(segment)
            size += len(segment)
        # A single part, the common case, is not copied.
        return (parts[0] if len(parts) == 1 else b"".join(parts))[:limit]

    def close(self, *, complete: bool = False) -> None:
        """Release the connection for reuse, or close it if the body was not read to its end. Safe to call again.

        `complete`: the last event was read, and only the end of the body may be missing; see `Received.release`.
        """
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.release(complete=complete)


@functools.lru_cache(maxsize=256)
def _forwarded_name(name: bytes) -> str | None:
    """The name of a header that is forwarded to the client, else None."""
    text = name.decode("latin-1")
    return text if _FORWARDED_HEADERS.fullmatch(text) else None
