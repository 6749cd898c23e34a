"""A relay before the gateway that keeps what a client and the gateway say to each other."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator

_HEAD = re.compile(rb"(?:GET|POST) \S+ HTTP/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n")


class Tap:
    """Listens on `port` of 127.0.0.1. `connections` holds what was sent and answered, one pair for each connection."""

    def __init__(self, port: int) -> None:
        self.connections: list[tuple[bytearray, bytearray]] = []
        self.port = 0
        self._to = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def heads(self) -> list[str]:
        """The request line and headers of every request, in lower case."""
        return [head.decode().lower() for sent, _ in self.connections for head in _HEAD.findall(bytes(sent))]

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Relay until `stop` is set."""
        async with await asyncio.start_server(self._relay, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()
            server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = (bytearray(), bytearray())
        self.connections.append(pair)
        upstream, back = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await asyncio.gather(_copy(reader, back, pair[0]), _copy(upstream, writer, pair[1]))
        finally:
            back.close()
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(65536):
            seen += data
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@contextlib.contextmanager
def tap(port: int) -> Iterator[Tap]:
    """A relay to `port` of 127.0.0.1 during the block."""
    found, ready, loop = Tap(port), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(found.serve(ready, stop)))
    thread.start()
    try:
        assert ready.wait(5)
        yield found
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
