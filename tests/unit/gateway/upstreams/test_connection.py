"""Upstream connections and their pool, against a scripted raw-socket server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from breakeven.gateway.upstreams.connection import Connection, ConnectionLost
from breakeven.gateway.upstreams.pool import Pool, Unreachable

ASK = b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


class Server:
    """Sends the next of `answers` for each request, then does what `after` says."""

    def __init__(self, *answers: bytes, close: bool = False, size: int = 2) -> None:
        """`size`: bytes of the body of a POST."""
        self.answers = list(answers)
        self.close = close
        self.size = size
        self.connections = 0
        # Requests as they came, and connections that the client has ended.
        self.got: list[bytes] = []
        self.ended = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while self.answers:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(self.size if head.startswith(b"POST") else 0)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.ended += 1
                break
            self.got.append(head + body)
            writer.write(self.answers.pop(0))
            if self.close:
                break
        if self.close or not self.answers:
            await writer.drain()
        if self.close:
            writer.close()
        elif not self.answers:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            self.ended += 1


@asynccontextmanager
async def pool_before(server: Server, keep_seconds: float = 10.0) -> AsyncIterator[Pool]:
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    pool = Pool(f"http://127.0.0.1:{port}/v1", connect_seconds=5.0, keep_seconds=keep_seconds)
    try:
        yield pool
    finally:
        pool.close()
        listening.close()
        for writer in server.writers:
            writer.close()
        # The transports close in the next turns of the loop.
        await asyncio.sleep(0.01)


async def ask(pool: Pool) -> tuple[int, bytes, Connection]:
    connection = await pool.take()
    connection.send(ASK, b"{}")
    await connection.head()
    body = b""
    while (part := await connection.read()) is not None:
        body += part
    return connection.status, body, connection


async def until(check: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_lost(connection: Connection) -> None:
    while not connection.lost:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def with_server(server: Server, test: Callable[[Pool], Awaitable[None]], keep_seconds: float = 10.0) -> None:
    async def run() -> None:
        async with pool_before(server, keep_seconds) as pool:
            await test(pool)

    asyncio.run(run())


def test_a_connection_is_reused_after_a_complete_response() -> None:
    server = Server(WHOLE, WHOLE)

    async def test(pool: Pool) -> None:
        for _ in range(2):
            status, body, connection = await ask(pool)
            assert (status, body) == (200, b"hello")
            connection.release()
        assert connection.used

    with_server(server, test)
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ],
)
def test_a_connection_that_the_server_closes_is_not_reused(answer: bytes) -> None:
    server = Server(answer, answer)

    async def test(pool: Pool) -> None:
        for _ in range(2):
            _, body, connection = await ask(pool)
            assert body == b"hello"
            connection.release()

    with_server(server, test)
    assert server.connections == 2


def test_a_connection_is_not_reused_after_an_unread_response() -> None:
    server = Server(WHOLE, WHOLE)

    async def test(pool: Pool) -> None:
        connection = await pool.take()
        connection.send(ASK, b"{}")
        await connection.head()
        connection.release()
        await ask(pool)

    with_server(server, test)
    assert server.connections == 2


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.mark.parametrize(("rest", "connections"), [(b"0\r\n\r\n", 1), (b"1\r\n!\r\n0\r\n\r\n", 2), (b"", 2)])
def test_the_end_of_the_body_may_arrive_after_release(rest: bytes, connections: int) -> None:
    """After the last event of a stream the connection is reused once the end of the body has arrived."""
    server = Server(CHUNKED, WHOLE)

    async def test(pool: Pool) -> None:
        connection = await pool.take()
        connection.send(ASK, b"{}")
        await connection.head()
        assert await connection.read() == b"hello"
        connection.release(complete=True)
        await asyncio.sleep(0.05)
        if rest:
            server.writers[0].write(rest)
            await asyncio.sleep(0.1)
        else:
            await until_lost(connection)
        if connections > 1:
            server.answers[:] = [WHOLE]
        status, body, again = await ask(pool)
        assert (status, body, server.connections) == (200, b"hello", connections)
        again.release()

    with_server(server, test)


def test_chunked_interim_and_close_delimited_responses_are_read() -> None:
    chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    chunked += b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    to_the_end = b"HTTP/1.1 200 OK\r\n\r\nhello"
    for answer in (chunked, to_the_end):

        async def test(pool: Pool) -> None:
            status, body, _ = await ask(pool)
            assert (status, body) == (200, b"hello")

        with_server(Server(answer, close=True), test)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000 + b"content-length: 0\r\n\r\n",
    ],
)
def test_truncated_and_invalid_responses_raise_connection_lost(answer: bytes) -> None:
    async def test(pool: Pool) -> None:
        with pytest.raises(ConnectionLost):
            await ask(pool)

    with_server(Server(answer, close=True), test)


def test_an_unsolicited_response_is_not_taken_for_the_next_one() -> None:
    server = Server(WHOLE + WHOLE.replace(b"hello", b"wrong"), WHOLE)

    async def test(pool: Pool) -> None:
        _, first, connection = await ask(pool)
        connection.release()
        _, second, _ = await ask(pool)
        assert (first, second) == (b"hello", b"hello")

    with_server(server, test)
    assert server.connections == 2


def test_a_connection_closed_while_idle_is_removed_from_the_pool() -> None:
    server = Server(WHOLE, close=True)

    async def test(pool: Pool) -> None:
        _, _, connection = await ask(pool)
        connection.release()
        await until_lost(connection)
        server.answers.append(WHOLE)
        _, body, second = await ask(pool)
        assert body == b"hello"
        assert second is not connection

    with_server(server, test)


def test_idle_connections_are_closed_after_the_keep_alive_time() -> None:
    async def test(pool: Pool) -> None:
        _, _, connection = await ask(pool)
        connection.release()
        await until_lost(connection)

    with_server(Server(WHOLE, WHOLE), test, keep_seconds=0.05)


def test_back_pressure_pauses_the_upstream_without_losing_data() -> None:
    size = 20 << 20
    server = Server(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size)

    async def test(pool: Pool) -> None:
        connection = await pool.take()
        connection.send(ASK, b"{}")
        await connection.head()
        await asyncio.sleep(0.1)
        assert connection.waiting_bytes < 2 << 20
        read = 0
        while (part := await connection.read()) is not None:
            read += len(part)
        assert read == size

    with_server(server, test)


def test_a_refused_connection_raises_unreachable() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        pool = Pool(f"http://127.0.0.1:{port}/v1", connect_seconds=5.0, keep_seconds=1.0)
        with pytest.raises(Unreachable):
            await pool.take()
        nowhere = Pool("https://no-such-host.invalid/v1", connect_seconds=5.0, keep_seconds=1.0)
        with pytest.raises(Unreachable):
            await nowhere.take()

    asyncio.run(run())
