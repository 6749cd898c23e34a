"""A forward proxy and a TLS front, on raw sockets: they record what they got, and pass it on to a scripted upstream."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import threading
from dataclasses import dataclass


class _Listener:
    """A server on a free port of 127.0.0.1, in a thread of its own."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self._tls))
        # A failed handshake is what some tests are about.
        self._loop.set_exception_handler(lambda *_: None)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            with contextlib.suppress(OSError):
                writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class TlsFront(_Listener):
    """Ends TLS, and passes the bytes to the port of a scripted upstream. `handshakes` counts those that succeeded."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self._to = port
        self.handshakes = 0
        super().__init__(tls)

    def __enter__(self) -> TlsFront:
        return self

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        await _joined(reader, writer, *await asyncio.open_connection("127.0.0.1", self._to))


@dataclass
class Asked:
    """One request as the proxy got it; `target` is `host:port` of a CONNECT, or a whole URL."""

    method: str
    target: str
    headers: dict[str, str]


class ForwardProxy(_Listener):
    """An HTTP proxy for names that only it can resolve: `hosts` has the port of each `host:port`.

    `password`: wanted as `user:password`; without it 407. `status`: what every request is refused with. `silent`: it
    never answers.
    """

    def __init__(
        self,
        hosts: dict[str, int],
        *,
        password: str | None = None,
        status: int | None = None,
        silent: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.hosts = hosts
        self.password, self.status, self.silent = password, status, silent
        self.asked: list[Asked] = []
        self.tunnels_open = 0
        super().__init__(tls)

    def __enter__(self) -> ForwardProxy:
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        answers: asyncio.Task[None] | None = None
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
                method, target, _ = first.split(" ", 2)
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                self.asked.append(Asked(method, target, headers))
                if self.silent:
                    await reader.read()
                    return
                refused = self._refused(headers)
                if refused is not None:
                    await reader.readexactly(int(headers.get("content-length", "0")))
                    writer.write(f"HTTP/1.1 {refused} No\r\ncontent-length: 0\r\n\r\n".encode())
                    await writer.drain()
                    continue
                if method == "CONNECT":
                    upstream = await asyncio.open_connection("127.0.0.1", self.hosts[target])
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    self.tunnels_open += 1
                    try:
                        await _joined(reader, writer, *upstream)
                    finally:
                        self.tunnels_open -= 1
                    return
                authority, _, path = target.removeprefix("http://").partition("/")
                if upstream is None:
                    port = self.hosts[authority if ":" in authority else f"{authority}:80"]
                    upstream = await asyncio.open_connection("127.0.0.1", port)
                    answers = asyncio.ensure_future(_pumped(upstream[0], writer))
                kept = [line for line in lines if not line.lower().startswith("proxy-")]
                upstream[1].write("\r\n".join([f"{method} /{path} HTTP/1.1", *kept, "", ""]).encode("latin-1"))
                upstream[1].write(await reader.readexactly(int(headers.get("content-length", "0"))))
                await upstream[1].drain()
        finally:
            if answers is not None:
                answers.cancel()
            if upstream is not None:
                upstream[1].transport.abort()

    def _refused(self, headers: dict[str, str]) -> int | None:
        if self.status is not None:
            return self.status
        if self.password is None:
            return None
        wanted = "Basic " + base64.b64encode(self.password.encode()).decode()
        return None if headers.get("proxy-authorization") == wanted else 407


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes from one side to the other until it ends; then the other is closed as well."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()


async def _joined(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader,
    other_writer: asyncio.StreamWriter,
) -> None:
    """Both directions, until either side has ended."""
    pumps = [asyncio.ensure_future(_pumped(reader, other_writer)), asyncio.ensure_future(_pumped(other_reader, writer))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        other_writer.transport.abort()
