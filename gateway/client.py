"""The client's side of one request over ASGI: its body, its going away, and what is sent to it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

from gateway.errors import RequestError

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


class Client:
    """Reads the request, notices a disconnect, sends the answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            self.headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        given = self.headers.get("x-request-id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        self.started = False
        self.gone = False
        self._watcher: asyncio.Task[None] | None = None

    async def read_body(self, limit: int) -> bytes:
        """The whole body. Raises RequestError 413 above `limit` bytes, without reading on."""
        too_large = RequestError(
            413,
            f"The body is larger than {limit} bytes; send less, or raise server.max_body_bytes.",
            code="request_too_large",
            headers={"connection": "close"},
        )
        if "transfer-encoding" in self.headers and "content-length" in self.headers:
            raise RequestError(400, "Send Content-Length or Transfer-Encoding, not both.", code="invalid_headers")
        declared = self.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            raise too_large
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                raise asyncio.CancelledError
            body += message.get("body", b"")
            if len(body) > limit:
                raise too_large
            if not message.get("more_body", False):
                return bytes(body)

    def watch(self) -> None:
        """From here on cancel the current task when the client goes away."""
        task = asyncio.current_task()
        assert task is not None

        async def wait() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.gone = True
            task.cancel()

        self._watcher = asyncio.create_task(wait())

    async def unwatch(self) -> None:
        """Stop watching; a request that was settled must not be cancelled any more."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of the answer."""
        self.started = True
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, body: bytes) -> None:
        """Send a part of the answer; waits while the client does not read."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self, reply: Reply) -> None:
        """Send what is left, and the head before it where nothing was sent yet."""
        if not self.started:
            await self.start(reply.status, {**reply.headers, "content-length": str(len(reply.body))})
        await self._send({"type": "http.response.body", "body": reply.body, "more_body": False})
