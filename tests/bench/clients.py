"""Measures the CPU time of a POST with our client, aiohttp, and httpx2 over aiohttp, against the benchmark's upstream.

`python -m tests.bench.clients [--requests 3000]`; `pip install httpx-aiohttp[httpx2]` for the other two. CPU of this
process, best of three.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from breakeven.gateway.upstreams.pool import Pool
from tests.bench.arms import await_port, free_port

_BODY = json.dumps({"messages": [{"role": "user", "content": "word " * 200}]}).encode()
_HEADERS = {"content-type": "application/json", "accept-encoding": "identity", "authorization": "Bearer x"}
_AT_ONCE = 32
Ask = Callable[[], Awaitable[bytes]]


def _ours(url: str) -> Ask:
    pool = Pool(url, connect_seconds=5, keep_seconds=4)
    head = f"POST {pool.path}/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(_BODY)}\r\n"
    data = (head + "".join(f"{name}: {value}\r\n" for name, value in _HEADERS.items()) + "\r\n").encode()

    async def ask() -> bytes:
        connection = await pool.take()
        connection.send(data, _BODY)
        await connection.head()
        body = b""
        while (part := await connection.read()) is not None:
            body += part
        connection.release()
        return body

    return ask


def _aiohttp(url: str) -> Ask:
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())

    async def ask() -> bytes:
        async with session.post(url + "/chat/completions", data=_BODY, headers=_HEADERS) as answer:
            return await answer.read()

    return ask


def _httpx2_over_aiohttp(url: str) -> Ask:
    import aiohttp
    import httpx2
    from httpx_aiohttp.httpx2 import AiohttpTransport

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
    transport = AiohttpTransport(client=session)
    headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
    address = httpx2.URL(url + "/chat/completions")

    async def ask() -> bytes:
        answer = await transport.handle_async_request(httpx2.Request("POST", address, headers=headers, content=_BODY))
        return bytes(await answer.aread())

    return ask


async def _measure(make: Callable[[str], Ask], url: str, requests: int) -> float:
    ask = make(url)

    async def some(count: int) -> None:
        for _ in range(count):
            assert b"usage" in await ask()

    await some(100)
    times = []
    for _ in range(3):
        started = time.process_time()
        await asyncio.gather(*(some(requests // _AT_ONCE) for _ in range(_AT_ONCE)))
        times.append(time.process_time() - started)
    return 1e6 * min(times) / (requests // _AT_ONCE * _AT_ONCE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    given = parser.parse_args()
    port = free_port()
    upstream = subprocess.Popen([sys.executable, "-m", "tests.bench.upstream", "--port", str(port)])
    try:
        await_port(port)
        for name, needs, make in (
            ("ours", "httptools", _ours),
            ("aiohttp", "aiohttp", _aiohttp),
            ("httpx2 over aiohttp", "httpx_aiohttp", _httpx2_over_aiohttp),
        ):
            if importlib.util.find_spec(needs) is None:
                print(f"{name}: not installed")
            else:
                # The sessions are not closed, since the process ends here.
                microseconds = uvloop.run(_measure(make, f"http://127.0.0.1:{port}/v1", given.requests))
                print(f"{name}: {microseconds:.0f} us of CPU a request")
    finally:
        upstream.terminate()
        upstream.wait(10)


if __name__ == "__main__":
    main()
