"""The response of an upstream: status, filtered headers, and the body as it arrives."""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Callable

from breakeven.gateway.upstreams.transports.interface import Received

# Response headers that are forwarded to the client; others could reveal internals of the upstream.
_FORWARDED_HEADERS = re.compile(
    r"content-type|retry-after|retry-after-ms|x-ratelimit-.*|openai-processing-ms|openai-version"
)


class UpstreamResponse:
    """A response whose head has arrived. `headers` are those to forward, names in lower case."""

    def __init__(self, connection: Received) -> None:
        self._connection: Received | None = connection
        self.status = connection.status
        self.headers: dict[str, str] = {}
        self._inflate: Callable[[bytes], bytes] | None = None
        for raw, value in connection.headers:
            if raw == b"content-encoding":
                self._inflate = _inflater(value.strip().lower())
                continue
            name = _forwarded_name(raw)
            if name is not None:
                text = value.decode("latin-1")
                self.headers[name] = f"{self.headers[name]}, {text}" if name in self.headers else text
        self.content_type = self.headers.get("content-type", "")

    @property
    def streams(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.content_type.partition(";")[0].strip().lower() == "text/event-stream"

    async def segment(self) -> bytes | None:
        """The next part of the body, None at the end. Decompressed if the upstream ignored accept-encoding: identity.

        Raises ConnectionLost, and ValueError for a body that cannot be decompressed.
        """
        assert self._connection is not None, "the response is closed"
        data = await self._connection.read()
        if self._inflate is None or data is None:
            return data
        try:
            return self._inflate(data)
        except zlib.error:
            raise ValueError("the body cannot be decompressed") from None

    async def read_into(self, sink: Callable[[bytes], bool]) -> None:
        """Read in push mode: call `sink` with each part as it arrives, until it returns False or the body ends.

        Returns at once if the body is compressed, or parts are buffered already; then and afterwards use `segment`.
        See `Received.read_into`.
        """
        assert self._connection is not None, "the response is closed"
        if self._inflate is None:
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


def _inflater(encoding: bytes) -> Callable[[bytes], bytes] | None:
    if encoding in (b"gzip", b"x-gzip"):
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress
    return zlib.decompressobj().decompress if encoding == b"deflate" else None
