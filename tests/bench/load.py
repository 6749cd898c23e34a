"""Load generation with low overhead on raw asyncio: closed loops for the maximum rate, fixed rates for latency."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

_SWITCH_SECONDS = 0.0001


@dataclass
class Result:
    """The measurements of a run: latencies in seconds, and in `gaps` the longest pause of each stream."""

    seconds: float = 0.0
    requests: int = 0
    events: int = 0
    failures: int = 0
    latencies: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)


def request(path: str, body: dict[str, object], key: str | None, headers: dict[str, str] | None = None) -> bytes:
    """A POST request as bytes; `key` is the API key, None for none."""
    data = json.dumps(body, separators=(",", ":")).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    given = {"content-length": str(len(data)), **({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
    head += "".join(f"{name}: {value}\r\n" for name, value in given.items()) + "\r\n"
    return head.encode() + data


class Connection:
    """A keep-alive connection that sends requests and reads the complete responses."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, data: bytes, result: Result) -> None:
        """Send one request, read the response, and add the measurements to `result`."""
        started = time.perf_counter()
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
            assert self._reader is not None
            self._writer.write(data)
            head = await self._reader.readuntil(b"\r\n\r\n")
            ok = head.startswith(b"HTTP/1.1 200")
            lowered = head.lower()
            if b"transfer-encoding: chunked" in lowered:
                ok = await self._chunks(result, started) and ok
            else:
                length = int(lowered.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
                await self._reader.readexactly(length)
            result.requests += 1
            result.failures += not ok
            result.latencies.append(time.perf_counter() - started)
        except (OSError, asyncio.IncompleteReadError, IndexError):
            result.failures += 1
            self.close()

    async def _chunks(self, result: Result, started: float) -> bool:
        assert self._reader is not None
        last, longest, done = started, 0.0, False
        while True:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = await self._reader.readexactly(size + 2)
            if not size:
                break
            now = time.perf_counter()
            if last != started:
                longest = max(longest, now - last)
            last = now
            result.events += data.count(b"data: ")
            done = done or b"[DONE]" in data
        result.gaps.append(longest)
        return done

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def closed(port: int, data: bytes, *, connections: int, seconds: float) -> Result:
    """Closed-loop load: each connection sends the next request as soon as the response is complete."""
    result = Result()
    started = time.perf_counter()
    end = started + seconds

    async def loop() -> None:
        connection = Connection(port)
        while time.perf_counter() < end:
            await connection.ask(data, result)
        connection.close()

    await asyncio.gather(*(loop() for _ in range(connections)))
    result.seconds = time.perf_counter() - started
    return result


async def fixed(
    port: int, data: bytes, *, rate: float, seconds: float, warm_seconds: float = 0.5, connections: int = 64
) -> Result:
    """Open-loop load: requests are sent at a fixed `rate` per second, and latencies are relative to the schedule.

    Requests of the first `warm_seconds`, when connections are opened, are not measured. A thread triggers the requests:
    an event loop's timers have a resolution of a millisecond, so that several requests would be sent together.
    """
    result = Result()
    idle = [Connection(port) for _ in range(connections)]
    running: set[asyncio.Task[None]] = set()
    loop, sent = asyncio.get_running_loop(), asyncio.Event()
    started = time.perf_counter()

    async def one(due: float) -> None:
        connection = idle.pop() if idle else Connection(port)
        before = len(result.latencies)
        await connection.ask(data, result)
        if len(result.latencies) > before:
            late = time.perf_counter() - due
            result.latencies[-1:] = [late] if due >= started + warm_seconds else []
        idle.append(connection)

    def leave(due: float) -> None:
        task = loop.create_task(one(due))
        running.add(task)
        task.add_done_callback(running.discard)

    def keep_time() -> None:
        for number in range(int(rate * (warm_seconds + seconds))):
            due = started + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            loop.call_soon_threadsafe(leave, due)
        loop.call_soon_threadsafe(sent.set)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        keeper = loop.run_in_executor(None, keep_time)
        await sent.wait()
        await keeper
        await asyncio.gather(*running)
    finally:
        sys.setswitchinterval(interval)
    result.seconds = time.perf_counter() - started
    for connection in idle:
        connection.close()
    return result
