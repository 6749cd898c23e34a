"""The client side of one request: reading the body, noticing a disconnect, sending the response."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple

from breakeven.gateway.errors import RequestError
from breakeven.gateway.upstreams.deadline import arriving
from breakeven.gateway.wire import content_encoding
from breakeven.gateway.wire.ids import fresh_id

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# The key of an ASGI scope under which Azure's name of a deployment stands.
DEPLOYMENT = "breakeven.deployment"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class Reply(NamedTuple):
    """The rest of a response, sent after the request was settled: all of it, or the last part of a stream.

    `cut_off`: what has been sent is not all of it, so that the connection is closed in the place of an end.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut_off: bool = False


class Client(abc.ABC):
    """The client of one request.

    `headers` are the request's, names in lower case; `request_id` is its x-request-id if valid, else a new one;
    `deployment` is the model that the path names, as Azure's do, None for other paths; `started` is True once response
    headers were sent, `gone` once the client has disconnected or stopped reading.
    """

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """`headers`: raw header lines, names in lower case; of several with one name the first counts."""
        self.headers: dict[str, str] = {}
        for name, value in headers:
            self.headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        given = self.headers.get("x-request-id")
        self.request_id = given if given and _REQUEST_ID.fullmatch(given) else fresh_id()
        self.deployment: str | None = None
        self.started = False
        self.gone = False

    async def read_body(self, limit: int, seconds: float) -> bytes:
        """The whole request body.

        One that is compressed is decoded. Raises RequestError: 413 for a body above `limit` bytes, as sent or decoded,
        without reading the rest, 408 for one that has not arrived after `seconds`, 415 for an unknown encoding, and 400
        for contradictory framing headers or a body that is not in its encoding. Raises CancelledError on a disconnect.
        """
        if "transfer-encoding" in self.headers and "content-length" in self.headers:
            raise RequestError(400, "Send Content-Length or Transfer-Encoding, not both.", code="invalid_headers")
        declared = self.headers.get("content-length", "0")
        body = None
        if not declared.isdigit() or int(declared) <= limit:
            body = await (self._body(limit) if self._body_received() else self._body_within(limit, seconds))
        if body is None:
            raise _too_large(limit, {"connection": "close"})
        encoding = self.headers.get("content-encoding")
        return body if encoding is None else await decoded_body(body, encoding, limit)

    async def _body_within(self, limit: int, seconds: float) -> bytes | None:
        async with arriving(seconds):
            return await self._body(limit)

    def _body_received(self) -> bool:
        """Whether the whole body is in memory already, so that no timer is needed."""
        return False

    @abc.abstractmethod
    async def _body(self, limit: int) -> bytes | None:
        """The whole body, None for one above `limit` bytes. On a disconnect sets `gone` and raises CancelledError."""

    @abc.abstractmethod
    def watch(self) -> None:
        """From now on cancel the current task when the client disconnects."""

    @abc.abstractmethod
    async def unwatch(self) -> None:
        """Stop cancelling on a disconnect: a request that was settled must run to its end."""

    @abc.abstractmethod
    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers of a streamed response, or keep them for the first `write`."""

    @abc.abstractmethod
    async def write(self, body: bytes) -> None:
        """Send a part of a started response; waits while the client does not read (back-pressure)."""

    def try_write(self, body: bytes) -> bool:  # noqa: ARG002
        """Send a part of a started response without waiting. False, and nothing sent, where `write` must be used."""
        return False

    @abc.abstractmethod
    async def finish(self, reply: Reply) -> None:
        """Send the rest of the response, and its status and headers if nothing was sent yet."""


async def decoded_body(body: bytes, encoding: str, limit: int) -> bytes:
    """A request body without the compression that its content-encoding header names.

    Raises RequestError: 413 above `limit` bytes, 415 for an unknown encoding, 400 for a body that is not in it.
    """
    try:
        # In a thread: a small body may take long to decode, and all streams wait for the event loop.
        plain = await asyncio.to_thread(content_encoding.decoded, body, encoding, limit)
    except content_encoding.UnknownEncoding:
        known = ", ".join(content_encoding.ENCODINGS)
        raise RequestError(
            415,
            f"The content-encoding of the body is not supported; send it without one, or one of {known}.",
            code="unsupported_encoding",
            headers={"accept-encoding": known},
        ) from None
    except content_encoding.BrokenEncoding:
        raise RequestError(
            400,
            "The body is not in the encoding that its content-encoding names; send it again.",
            code="invalid_encoding",
        ) from None
    if plain is None:
        raise _too_large(limit, {})
    return plain


def _too_large(limit: int, headers: Mapping[str, str]) -> RequestError:
    return RequestError(
        413,
        f"The body is larger than {limit} bytes; send less, or raise server.max_body_bytes.",
        code="request_too_large",
        headers=headers,
    )


class AsgiClient(Client):
    """A client of any ASGI server."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope["headers"])
        self.deployment = scope.get(DEPLOYMENT)
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | None = None

    async def _body(self, limit: int) -> bytes | None:
        parts, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                raise asyncio.CancelledError
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > limit:
                return None
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def watch(self) -> None:
        task = asyncio.current_task()
        assert task is not None

        async def wait() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.gone = True
            task.cancel()

        self._watcher = asyncio.create_task(wait())

    async def unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.started = True
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self, reply: Reply) -> None:
        if reply.cut_off:
            # The server closes the connection of a response that has no end.
            return
        if not self.started:
            await self.start(reply.status, {**reply.headers, "content-length": str(len(reply.body))})
        await self._send({"type": "http.response.body", "body": reply.body, "more_body": False})
