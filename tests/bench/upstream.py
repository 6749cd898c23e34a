"""A low-overhead upstream that answers OpenAI requests at once, or at a given rate if the request asks for that.

`python -m tests.bench.upstream --port 9001 [--events 200] [--first-event-ms 200] [--interval-ms 50]`. A raw asyncio
protocol: it looks for the end of the request and for `"stream":true` in it, and writes prepared bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
from typing import cast

import uvloop

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
# A request with this limit is answered at the given rate, any other at once.
PACED_MAX_TOKENS = 777
_PACED = re.compile(rb'"max_tokens" *: *%d' % PACED_MAX_TOKENS)
_STREAM = re.compile(rb'"stream" *: *true')
_USAGE = {
    "prompt_tokens": 200,
    "completion_tokens": 200,
    "total_tokens": 400,
    "prompt_tokens_details": {"cached_tokens": 128},
}


def _event(value: object) -> bytes:
    data = f"data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def _chunk(choices: list[object], **more: object) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    return _event({**head, "choices": choices, **more})


class Answers:
    """The prepared responses, as bytes, with `events` events in a stream."""

    def __init__(self, model: str, events: int) -> None:
        message = {"role": "assistant", "content": "word " * 200}
        whole = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _USAGE,
        }
        body = json.dumps(whole, separators=(",", ":")).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self.whole = head % len(body) + body
        self.head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        word = [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]
        self.events = [_chunk(word)] * events
        self.tail = (
            _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
            + _chunk([], usage=_USAGE)
            + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
        )
        models = json.dumps({"object": "list", "data": [{"id": model, "object": "model"}]}).encode()
        self.models = head % len(models) + models


class Upstream(asyncio.Protocol):
    """The protocol of one connection."""

    def __init__(self, answers: Answers, first_event: float, interval: float) -> None:
        self._answers = answers
        self._first_event = first_event
        self._interval = interval
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport classes do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            found = _LENGTH.search(self._buffer, 0, end)
            total = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < total:
                return
            request, self._buffer = self._buffer[:total], self._buffer[total:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        answers, write = self._answers, self._transport.write
        if request.startswith(b"GET"):
            write(answers.models)
        elif not _STREAM.search(request):
            write(answers.whole)
        elif not _PACED.search(request):
            write(answers.head)
            # One write per event, as model servers do.
            for event in answers.events:
                write(event)
            write(answers.tail)
        else:
            asyncio.get_running_loop().create_task(self._paced())

    async def _paced(self) -> None:
        answers = self._answers
        self._transport.write(answers.head)
        await asyncio.sleep(self._first_event)
        for event in answers.events:
            if self._transport.is_closing():
                return
            self._transport.write(event)
            await asyncio.sleep(self._interval)
        self._transport.write(answers.tail)


async def serve(port: int, answers: Answers, first_event: float, interval: float) -> None:
    """Serve until the process is ended; `first_event` and `interval` in seconds are the timing of paced answers."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(answers, first_event, interval), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", default="bench")
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--first-event-ms", type=float, default=200.0)
    parser.add_argument("--interval-ms", type=float, default=50.0)
    given = parser.parse_args()
    answers = Answers(given.model, given.events)
    # With thousands of open streams a collection takes a tenth of a second, which a gateway would be blamed for.
    gc.disable()
    uvloop.run(serve(given.port, answers, given.first_event_ms / 1000, given.interval_ms / 1000))


if __name__ == "__main__":
    main()
