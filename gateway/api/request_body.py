"""Reading the bodies of our own endpoints, those that no upstream sees: bounded in size and in time."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from pydantic_core import from_json

from breakeven.gateway.errors import RequestError
from breakeven.gateway.proxy.downstream import decoded_body
from breakeven.gateway.upstreams.deadline import arriving


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The whole body, decoded if it is compressed.

    Raises RequestError: 413 above `limit` bytes, 408 where it takes longer than `seconds`, and 415 or 400 for an
    encoding that is not supported or not kept to.
    """
    data = bytearray()
    async with arriving(seconds):
        async for part in request.stream():
            data += part
            if len(data) > limit:
                raise RequestError(413, f"The body is larger than {limit} bytes.", code="request_too_large")
    encoding = request.headers.get("content-encoding")
    return bytes(data) if encoding is None else await decoded_body(bytes(data), encoding, limit)


class ReadRequest(Request):
    """A request whose body was read already. The body is JSON whatever its content-type says, as on the endpoints
    that are relayed.
    """

    def __init__(self, request: Request, body: bytes) -> None:
        """`request`: the one whose body this is."""
        headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
        super().__init__({**request.scope, "headers": [*headers, (b"content-type", b"application/json")]})
        self._read = body

    async def body(self) -> bytes:
        """All of it."""
        return self._read

    async def json(self) -> Any:
        """The decoded body. Raises JSONDecodeError, also for text that is not UTF-8 or nested too deeply."""
        try:
            return from_json(self._read)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None
