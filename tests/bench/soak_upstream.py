"""The scripted upstream of the soak test: follows the plan in each request, and counts requests and usage."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any

_SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_HEAD = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


@dataclass
class Count:
    """The requests that an upstream received and the usage that it reported."""

    attempts: int = 0
    prompt: int = 0
    cached: int = 0
    output: int = 0

    def add(self, usage: dict[str, Any]) -> None:
        self.prompt += usage["prompt_tokens"]
        self.cached += usage["prompt_tokens_details"]["cached_tokens"]
        self.output += usage["completion_tokens"]


class Upstream:
    """Follows the plan in the body's `user` field: PLAN:NAME:NUMBER, where NAME is the upstream that it is for."""

    def __init__(self, name: str, pause: float) -> None:
        self.name = name
        self.count = Count()
        # Set once a request to be aborted has arrived.
        self.arrived: dict[int, asyncio.Event] = {}
        self._pause = pause
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._request(reader, writer):
                    pass
        finally:
            self._connections.discard(task)
            with contextlib.suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            self._json(writer, 200, {"object": "list", "data": [{"id": self.name, "object": "model"}]})
            return True
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        body = json.loads(await reader.readexactly(int(length[1])))
        self.count.attempts += 1
        plan, meant_for, number = body["user"].split(":")
        if meant_for != self.name:
            plan = "answer"
        tokens = int(number) % 17 + 3
        usage = {
            "prompt_tokens": int(number) % 101 + 20,
            "completion_tokens": tokens,
            "total_tokens": int(number) % 101 + 20 + tokens,
            "prompt_tokens_details": {"cached_tokens": int(number) % 13},
        }
        if plan == "reset":
            writer.transport.abort()
            return False
        if plan == "500":
            self._json(writer, 500, {"error": {"message": "a fault", "type": "server_error"}})
            return True
        if body.get("stream"):
            return await self._stream(reader, writer, plan, tokens, usage)
        if plan == "abort":
            self.arrived[int(number)].set()
            return await self._until_gone(reader)
        await asyncio.sleep(self._pause)
        message = {"role": "assistant", "content": "word " * tokens}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        self.count.add(usage)
        self._json(writer, 200, {"object": "chat.completion", "choices": choices, "usage": usage})
        return True

    async def _stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: str, tokens: int, usage: dict[str, Any]
    ) -> bool:
        writer.write(_SSE)
        for index in range(tokens):
            self._event(writer, {"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]})
            await writer.drain()
            if index == 2 and plan == "abort":
                return await self._until_gone(reader)
            if index == 2 and plan == "cut":
                await asyncio.sleep(0.05)
                writer.transport.abort()
                return False
            await asyncio.sleep(self._pause / 10)
        self._event(writer, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event(writer, {"choices": [], "usage": usage})
        self.count.add(usage)
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()
        return True

    @staticmethod
    async def _until_gone(reader: asyncio.StreamReader) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await reader.read()
        return False

    @staticmethod
    def _json(writer: asyncio.StreamWriter, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        writer.write(_HEAD % (status, len(data)) + data)

    @staticmethod
    def _event(writer: asyncio.StreamWriter, value: object) -> None:
        data = b"data: " + json.dumps(value).encode() + b"\n\n"
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
