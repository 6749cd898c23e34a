"""The load generator: sends each prompt once to the gateway, as an OpenAI client would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import httpx2
import msgspec

from breakeven.gateway.demo.rows import DemoRow
from breakeven.gateway.wire.sse import Scanner

_CONCURRENCY = 16
_TIMEOUT_SECONDS = 120.0
_MAX_TOKENS = 512


class Result(msgspec.Struct, frozen=True):
    """The result for one prompt: the route that answered and the text of the answer; both None for a failure."""

    row: DemoRow
    route: str | None
    answer: str | None


def send_all(url: str, rows: Sequence[DemoRow], done: Callable[[Result], None]) -> list[Result]:
    """Send the prompts of all rows to the gateway at `url`, every second one streamed, and return the results in order.

    `done` is called after each. Failed requests are results too.
    """
    return asyncio.run(_send_all(url, rows, done))


async def _send_all(url: str, rows: Sequence[DemoRow], done: Callable[[Result], None]) -> list[Result]:
    slots = asyncio.Semaphore(_CONCURRENCY)
    limits = httpx2.Limits(max_connections=_CONCURRENCY)

    async with httpx2.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS, limits=limits) as client:

        async def one(number: int, row: DemoRow) -> Result:
            async with slots:
                try:
                    route, answer = await _ask(client, row.prompt, stream=number % 2 == 1)
                except (httpx2.HTTPError, msgspec.DecodeError, KeyError, IndexError):
                    route, answer = None, None
            result = Result(row, route, answer)
            done(result)
            return result

        return list(await asyncio.gather(*(one(number, row) for number, row in enumerate(rows))))


async def _ask(client: httpx2.AsyncClient, prompt: str, *, stream: bool) -> tuple[str | None, str | None]:
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": prompt}],
        "stream": stream,
        "max_tokens": _MAX_TOKENS,
        "temperature": 0,
    }
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            return None, None
        route = response.headers["x-breakeven-route"]
        if not stream:
            answer = msgspec.json.decode(await response.aread())
            return route, answer["choices"][0]["message"]["content"]
        scanner, parts = Scanner(), []
        async for segment in response.aiter_bytes():
            for event in scanner.feed(segment):
                if event.data is None or event.data == b"[DONE]":
                    continue
                chunk = msgspec.json.decode(event.data)
                if "error" in chunk:
                    return None, None
                parts += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
        return route, "".join(parts)
