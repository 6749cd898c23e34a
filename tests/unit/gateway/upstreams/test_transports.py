"""What both transports promise, against a scripted raw-socket server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from breakeven.gateway.config.outbound import Outbound
from breakeven.gateway.upstreams.connection import ConnectionLost
from breakeven.gateway.upstreams.pool import Unreachable
from breakeven.gateway.upstreams.transports.choice import open_transport
from breakeven.gateway.upstreams.transports.direct import DirectTransport
from breakeven.gateway.upstreams.transports.httpx2_transport import Httpx2Transport
from breakeven.gateway.upstreams.transports.interface import Received, Stale, Transport
from tests.unit.gateway.upstreams.test_connection import CHUNKED, WHOLE, Server, until

Test = Callable[[Transport], Awaitable[None]]


@pytest.fixture(params=["direct", "httpx2"])
def chosen(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def with_server(chosen: str, server: Server, test: Test) -> None:
    async def run() -> None:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        section = Outbound.model_validate(
            {
                "base_url": f"http://127.0.0.1:{port}/ö/v1",
                "transport": chosen,
                "query": {"v": "1"},
                "headers": {"x-a": "b"},
            }
        )
        transport = open_transport("teacher", section, 5.0)
        assert isinstance(transport, Httpx2Transport if chosen == "httpx2" else DirectTransport)
        try:
            await test(transport)
        finally:
            await transport.aclose()
            listening.close()
            for writer in server.writers:
                writer.close()
            await asyncio.sleep(0.02)

    asyncio.run(run())


async def send(transport: Transport, body: bytes = b"{}", fresh: bool = False) -> Received:
    return await transport.send("POST", "/x", {"x-c": "d\xe9"}, body, fresh=fresh)


async def whole(response: Received) -> bytes:
    body = b""
    while (part := await response.read()) is not None:
        body += part
    return body


async def ask(transport: Transport, fresh: bool = False) -> bytes:
    response = await send(transport, fresh=fresh)
    body = await whole(response)
    response.release()
    # The other transport gives a connection back in the background.
    await asyncio.sleep(0.01)
    return body


def test_a_request_is_sent_as_it_is_given(chosen: str) -> None:
    server = Server(WHOLE, WHOLE)

    async def test(transport: Transport) -> None:
        assert await ask(transport) == b"hello"
        response = await transport.send("GET", "/models", {}, b"", fresh=False)
        assert (response.status, dict(response.headers)[b"content-length"]) == (200, b"5")
        response.release()

    with_server(chosen, server, test)
    head, _, rest = server.got[0].partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert first == b"POST /%C3%B6/v1/x?v=1 HTTP/1.1"
    host = next(line for line in lines if line.startswith(b"host: 127.0.0.1:"))
    assert set(lines) == {
        b"accept-encoding: identity", b"user-agent: breakeven", b"x-a: b", b"x-c: d\xe9", b"content-length: 2", host,
    }  # fmt: skip
    assert len(lines) == 6
    assert rest == b"{}"
    assert server.got[1].startswith(b"GET /%C3%B6/v1/models?v=1 HTTP/1.1\r\n")
    assert b"content-length" not in server.got[1]
    assert server.connections == 1


@pytest.mark.parametrize(("part", "stale"), [(b"", True), (b"HTTP/1.1 200 OK\r\n", False)])
def test_a_reused_connection_closed_before_any_byte_of_a_response_is_stale(
    chosen: str, part: bytes, stale: bool
) -> None:
    server = Server(WHOLE, part)

    async def test(transport: Transport) -> None:
        await ask(transport)
        # It closes as it gets the next request.
        server.close = True
        with pytest.raises(ConnectionLost) as caught:
            await send(transport)
        assert isinstance(caught.value, Stale) == stale
        server.answers[:] = [WHOLE]
        assert await ask(transport, fresh=True) == b"hello"

    with_server(chosen, server, test)
    assert server.connections == 2


def test_fresh_means_a_new_connection_and_never_stale(chosen: str) -> None:
    server = Server(WHOLE, WHOLE, b"")

    async def test(transport: Transport) -> None:
        await ask(transport)
        await ask(transport, fresh=True)
        assert server.connections == 2
        server.close = True
        with pytest.raises(ConnectionLost) as caught:
            await send(transport, fresh=True)
        assert not isinstance(caught.value, Stale)

    with_server(chosen, server, test)


def test_a_new_connection_that_is_closed_is_lost_and_not_stale(chosen: str) -> None:
    async def test(transport: Transport) -> None:
        with pytest.raises(ConnectionLost) as caught:
            await send(transport)
        assert not isinstance(caught.value, Stale)

    with_server(chosen, Server(b"", close=True), test)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
        CHUNKED,
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000 + b"content-length: 0\r\n\r\n",
    ],
    ids=range(6),
)
def test_truncated_and_invalid_responses_are_lost(chosen: str, answer: bytes) -> None:
    async def test(transport: Transport) -> None:
        with pytest.raises(ConnectionLost):
            await whole(await send(transport))

    with_server(chosen, Server(answer, close=True), test)


def test_an_interim_response_is_skipped_and_a_body_may_end_with_the_connection(chosen: str) -> None:
    for answer in (b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, b"HTTP/1.1 200 OK\r\n\r\nhello"):

        async def test(transport: Transport) -> None:
            assert await ask(transport) == b"hello"

        with_server(chosen, Server(answer, close=True), test)


def test_an_unsolicited_response_is_not_taken_for_the_next_one(chosen: str) -> None:
    server = Server(WHOLE + WHOLE.replace(b"hello", b"wrong"), WHOLE)

    async def test(transport: Transport) -> None:
        assert await ask(transport) == b"hello"
        # Found when it came, or when the next request is sent: that one then fails.
        try:
            assert await ask(transport) == b"hello"
        except ConnectionLost:
            assert chosen == "httpx2"
            server.answers[:] = [WHOLE, WHOLE]
            assert await ask(transport) == b"hello"

    with_server(chosen, server, test)
    assert server.connections == 2


def test_a_response_that_is_abandoned_closes_its_connection(chosen: str) -> None:
    server = Server(CHUNKED)

    async def test(transport: Transport) -> None:
        response = await send(transport)
        assert await response.read() == b"hello"
        response.release()
        await until(lambda: server.ended == 1)

    with_server(chosen, server, test)


def test_a_cancelled_wait_for_the_head_closes_its_connection(chosen: str) -> None:
    server = Server(b"")

    async def test(transport: Transport) -> None:
        task = asyncio.ensure_future(send(transport))
        await until(lambda: bool(server.got))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.ended == 1)

    with_server(chosen, server, test)


@pytest.mark.parametrize(("rest", "connections"), [(b"0\r\n\r\n", 1), (b"1\r\n!\r\n0\r\n\r\n", 2)])
def test_the_end_of_the_body_may_arrive_after_release(chosen: str, rest: bytes, connections: int) -> None:
    server = Server(CHUNKED, WHOLE)

    async def test(transport: Transport) -> None:
        response = await send(transport)
        assert await response.read() == b"hello"
        response.release(complete=True)
        await asyncio.sleep(0.05)
        server.writers[0].write(rest)
        await asyncio.sleep(0.1)
        if connections > 1:
            server.answers[:] = [WHOLE]
        assert await ask(transport) == b"hello"
        assert server.connections == connections

    with_server(chosen, server, test)


def test_parts_are_pushed_until_the_sink_refuses_and_errors_of_the_sink_are_raised(chosen: str) -> None:
    server = Server(CHUNKED, CHUNKED)

    async def test(transport: Transport) -> None:
        response = await send(transport)
        got: list[bytes] = []

        def sink(part: bytes) -> bool:
            got.append(part)
            return part != b"stop"

        if chosen == "direct":
            # The part that came with the head is waiting; it is read, not pushed.
            got.append(await response.read() or b"")
        pushing = asyncio.ensure_future(response.read_into(sink))
        await asyncio.sleep(0.05)
        server.writers[0].write(b"4\r\nmore\r\n")
        await asyncio.sleep(0.05)
        server.writers[0].write(b"4\r\nstop\r\n")
        await pushing
        assert got == [b"hello", b"more", b"stop"]
        server.writers[0].write(b"4\r\nlast\r\n0\r\n\r\n")
        assert await whole(response) == b"last"
        assert await response.read() is None
        response.release()

        def broken(_: bytes) -> bool:
            raise KeyError("sink")

        response = await send(transport)
        if chosen == "direct":
            assert await response.read() == b"hello"
            server.writers[-1].write(b"4\r\nmore\r\n")
        with pytest.raises(KeyError, match="sink"):
            await response.read_into(broken)
        response.release()

    with_server(chosen, server, test)


def test_a_connection_lost_while_pushing_is_raised_by_the_next_read(chosen: str) -> None:
    server = Server(CHUNKED)

    async def test(transport: Transport) -> None:
        response = await send(transport)
        assert await response.read() == b"hello"
        server.writers[0].close()
        await response.read_into(lambda _: True)
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                await response.read()
        response.release()

    with_server(chosen, server, test)


def test_a_body_that_nobody_reads_holds_the_upstream_back(chosen: str) -> None:
    size = 20 << 20
    server = Server(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size)

    async def test(transport: Transport) -> None:
        response = await send(transport)
        await asyncio.sleep(0.1)
        # What the upstream could not get rid of yet.
        assert server.writers[0].transport.get_write_buffer_size() > size // 2  # type: ignore[attr-defined]
        assert len(await whole(response)) == size
        response.release()

    with_server(chosen, server, test)


def test_a_large_body_arrives_whole(chosen: str) -> None:
    server = Server(WHOLE, size=8 << 20)

    async def test(transport: Transport) -> None:
        response = await send(transport, body=b"y" * (8 << 20))
        assert await whole(response) == b"hello"
        response.release()

    with_server(chosen, server, test)
    assert server.got[0].endswith(b"\r\n\r\n" + b"y" * (8 << 20))


def test_what_cannot_be_reached_is_unreachable(chosen: str) -> None:
    async def run() -> None:
        listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        listening.close()
        await listening.wait_closed()
        for url in (f"http://127.0.0.1:{port}/v1", "https://no-such-host.invalid/v1"):
            section = Outbound.model_validate({"base_url": url, "transport": chosen, "proxy": "direct"})
            transport = open_transport("teacher", section, 5.0)
            with pytest.raises(Unreachable):
                await send(transport)
            await transport.aclose()

    asyncio.run(run())


def test_tls_that_does_not_answer_is_unreachable_at_the_connect_timeout(chosen: str) -> None:
    async def run(port: int) -> None:
        section = Outbound.model_validate({"base_url": f"https://127.0.0.1:{port}/v1", "transport": chosen})
        transport = open_transport("teacher", section, 0.2)
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Unreachable):
            await send(transport)
        assert 0.15 < asyncio.get_running_loop().time() - begun < 0.6
        await transport.aclose()

    # It takes connections, and nobody reads from them.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        asyncio.run(run(listening.getsockname()[1]))
