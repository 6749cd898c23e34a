"""The traffic player: sends each prompt once through the gateway, as a client would."""

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


class Played(msgspec.Struct, frozen=True):
    """What a prompt got: the route that answered, the answer's text; None where it failed."""

    row: DemoRow
    route: str | None
    answer: str | None


def play(url: str, rows: Sequence[DemoRow], done: Callable[[Played], None]) -> list[Played]:
    """Play all rows, every second one streamed; `done` is called after each."""
    return asyncio.run(_play(url, rows, done))


async def _play(url: str, rows: Sequence[DemoRow], done: Callable[[Played], None]) -> list[Played]:
    places = asyncio.Semaphore(_CONCURRENCY)
    limits = httpx2.Limits(max_connections=_CONCURRENCY)

    async with httpx2.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS, limits=limits) as client:

        async def one(number: int, row: DemoRow) -> Played:
            async with places:
                try:
                    route, answer = await _ask(client, row.prompt, stream=number % 2 == 1)
                except (httpx2.HTTPError, msgspec.DecodeError, KeyError, IndexError):
                    route, answer = None, None
            played = Played(row, route, answer)
            done(played)
            return played

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
