"""An upstream's answer: its head, and its body as it comes."""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Callable

from breakeven.gateway.upstreams.connection import Connection

# Of the upstream's answer only these reach the client; the rest would tell about the upstream's inside.
_ANSWER_HEADERS = re.compile(
    r"content-type|retry-after|retry-after-ms|x-ratelimit-.*|openai-processing-ms|openai-version"
)


class Answer:
    """An upstream's answer whose head is here: status, headers for the client, and the body in segments."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.status = connection.status
        self.headers: dict[str, str] = {}
        self._inflate: Callable[[bytes], bytes] | None = None
        for raw, value in connection.headers:
            if raw == b"content-encoding":
                self._inflate = _inflater(value.strip().lower())
                continue
            name = _shown(raw)
            if name is not None:
                text = value.decode("latin-1")
                self.headers[name] = f"{self.headers[name]}, {text}" if name in self.headers else text
        self.content_type = self.headers.get("content-type", "")

    @property
    def streams(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.content_type.partition(";")[0].strip().lower() == "text/event-stream"

    async def segment(self) -> bytes | None:
        """The next part of the body as it came, decoded where the upstream compressed it against our wish.

        None at the end. Raises ConnectionLost, and ValueError for what cannot be decoded.
        """
        assert self._connection is not None, "the answer is closed"
        data = await self._connection.read()
        if self._inflate is None or data is None:
            return data
        try:
            return self._inflate(data)
        except zlib.error:
            raise ValueError("the body cannot be decoded") from None

    async def pour(self, sink: Callable[[bytes], bool]) -> None:
        """Give each part of the body to `sink` as it arrives, until it returns False or the answer ends or is lost.

        Parts that were there before, and those after, are `segment`'s. Returns at once where the body is compressed.
        """
        assert self._connection is not None, "the answer is closed"
        if self._inflate is None:
            await self._connection.pour(sink)

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body, or its first `limit` bytes."""
        parts, size = [], 0
        while (limit is None or size < limit) and (segment := await self.segment()) is not None:
            parts.append(segment)
            size += len(segment)
        # One part, the common case, is taken as it is.
        return (parts[0] if len(parts) == 1 else b"".join(parts))[:limit]

    def close(self, *, complete: bool = False) -> None:
        """Give the connection back, or close it where the body was not read to its end. Safe to call again.

        `complete`: nothing but the end of the body is still to come. See `Connection.release`.
        """
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.release(complete=complete)


@functools.lru_cache(maxsize=256)
def _shown(name: bytes) -> str | None:
    """A header's name as the client gets it, None where it stays here."""
    text = name.decode("latin-1")
    return text if _ANSWER_HEADERS.fullmatch(text) else None


def _inflater(encoding: bytes) -> Callable[[bytes], bytes] | None:
    if encoding in (b"gzip", b"x-gzip"):
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress
    return zlib.decompressobj().decompress if encoding == b"deflate" else None
