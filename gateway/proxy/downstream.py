"""The client's side of one request: its body, its going away, and what is sent to it."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple

from breakeven.gateway.errors import RequestError
from breakeven.gateway.upstreams.deadline import arriving
from breakeven.gateway.wire.ids import fresh_id

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class Reply(NamedTuple):
    """What is still to be sent after a request was settled."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client(abc.ABC):
    """Reads the request, notices a disconnect, sends the answer."""

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """`headers`: names in lower case; the first one of a name counts."""
        self.headers: dict[str, str] = {}
        for name, value in headers:
            self.headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        given = self.headers.get("x-request-id")
        self.request_id = given if given and _REQUEST_ID.fullmatch(given) else fresh_id()
        self.started = False
        self.gone = False

    async def read_body(self, limit: int, seconds: float) -> bytes:
        """The whole body. Raises RequestError 413 above `limit` bytes, without reading on, and 408 where it is not
        there after so many seconds.
        """
        if "transfer-encoding" in self.headers and "content-length" in self.headers:
            raise RequestError(400, "Send Content-Length or Transfer-Encoding, not both.", code="invalid_headers")
        declared = self.headers.get("content-length", "0")
        body = None
        if not declared.isdigit() or int(declared) <= limit:
            body = await (self._body(limit) if self._arrived() else self._body_within(limit, seconds))
        if body is None:
            raise RequestError(
                413,
                f"The body is larger than {limit} bytes; send less, or raise server.max_body_bytes.",
                code="request_too_large",
                headers={"connection": "close"},
            )
        return body

    async def _body_within(self, limit: int, seconds: float) -> bytes | None:
        async with arriving(seconds):
            return await self._body(limit)

    def _arrived(self) -> bool:
        """Whether the whole body is here already, so that nothing has to be waited for."""
        return False

    @abc.abstractmethod
    async def _body(self, limit: int) -> bytes | None:
        """The whole body, None for one above `limit` bytes. Where the client goes away meanwhile it is `gone` and
        CancelledError is raised.
        """

    @abc.abstractmethod
    def watch(self) -> None:
        """From here on cancel the current task when the client goes away."""

    @abc.abstractmethod
    async def unwatch(self) -> None:
        """Stop watching; a request that was settled must not be cancelled any more."""

    @abc.abstractmethod
    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of the answer."""

    @abc.abstractmethod
    async def write(self, body: bytes) -> None:
        """Send a part of the answer; waits while the client does not read."""

    def push(self, body: bytes) -> bool:  # noqa: ARG002
        """Send a part of a started answer at once; False, and nothing sent, where it must wait or cannot tell."""
        return False

    @abc.abstractmethod
    async def finish(self, reply: Reply) -> None:
        """Send what is left, and the head before it where nothing was sent yet."""


class AsgiClient(Client):
    """A client behind any ASGI server."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope["headers"])
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
        if not self.started:
            await self.start(reply.status, {**reply.headers, "content-length": str(len(reply.body))})
        await self._send({"type": "http.response.body", "body": reply.body, "more_body": False})
