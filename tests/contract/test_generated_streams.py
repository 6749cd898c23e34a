"""Ten thousand generated streams: any segmentation, framing, content type, encoding and end gives what it should."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from anthropic import APIStatusError, AsyncAnthropic

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, running
from tests.support.encodings import ENCODINGS
from tests.support.generated_streams import TYPES, Stream, generated, read
from tests.support.stream_writers import CHAT, COMPLETIONS, MESSAGES, RESPONSES, TYPED

STREAMS = 10_000
TRANSLATED = 500
Read = tuple[str, str | None, tuple[int, int] | None, str | None]
STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
CONNECTIONS = 16
PATIENT = {"connect_seconds": 20.0, "first_event_seconds": 30.0, "idle_seconds": 30.0, "total_seconds": 60.0}
ASKED = {
    CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    COMPLETIONS: {"prompt": "hi"},
    RESPONSES: {"input": "hi"},
    MESSAGES: {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5},
}


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request with the stream whose number it carries."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                return
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            found = generated(int(body.get("user") or body["messages"][0]["content"]))
            lines = [f"{name}: {value}" for name, value in found.headers.items()]
            writer.write("\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode())
            for segment in found.segments:
                writer.write(segment)
                await asyncio.sleep(0)
            if not found.clean_end or not {"content-length", "transfer-encoding"} & found.headers.keys():
                return
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> tuple[int, bytes]:
    found = generated(number)
    options = {"stream_options": {"include_usage": True}} if found.wants_usage and found.path not in TYPED else {}
    body = json.dumps(
        {"model": "student", "stream": True, "user": str(number), **ASKED[found.path], **options}
    ).encode()
    head = f"POST {found.path} HTTP/1.1\r\nhost: gateway\r\nx-request-id: stream-{number}\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(answer[9:12])
    if b"content-length:" in answer:
        length = int(answer.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return status, await reader.readexactly(length)
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return status, b"".join(parts)


def check(number: int, status: int, body: bytes) -> None:
    expected = generated(number)
    assert status == expected.status, (number, body)
    if status != 200:
        assert json.loads(body)["error"]["message"] == "died", number
        return
    events = read(body)
    if expected.error:
        assert len(events) > len(expected.events), number
        (kind, error, *_), *marker = events[len(expected.events) :]
        found = json.loads(error)["error"]
        if expected.path == MESSAGES:
            assert found["type"] == "api_error", number
        else:
            assert found["code"] in ("stream_truncated", "upstream_disconnected"), number
        assert (kind, [data for _, data, *_ in marker]) == (
            ("error", []) if expected.path in TYPED else ("message", ["[DONE]"])
        )
        events = events[: len(expected.events)]
    assert events == expected.events, number


async def run(gateway: Gateway) -> None:
    numbers = iter(range(STREAMS))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        try:
            for number in numbers:
                async with asyncio.timeout(60):
                    status, body = await ask(reader, writer, number)
                check(number, status, body)
        finally:
            writer.close()
            await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))


def counted(expected: Stream, record: dict[str, object]) -> None:
    """The record has the outcome and the usage of the stream."""
    assert record["outcome"] == expected.outcome
    (attempt,) = record["attempts"]  # type: ignore[misc]
    usage = attempt["usage"]
    found = (usage["prompt"], usage["output"]) if usage["complete"] else None
    assert found == expected.usage


@pytest.mark.timeout(600)
def test_ten_thousand_streams_give_the_events_and_the_usage_of_an_independent_parser(tmp_path: Path) -> None:
    async def main() -> None:
        server = await asyncio.start_server(upstream, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        changes = {"student": {"base_url": url, "timeouts": PATIENT, "context_window": 100_000, "messages": "native"}}
        with running(tmp_path, changes, log_level="info") as gateway:
            await run(gateway)
            eventually(lambda: len(gateway.settled()) == STREAMS, 30)
            for record in gateway.settled():
                number = int(str(record["request_id"]).removeprefix("stream-"))
                try:
                    counted(generated(number), record)
                except AssertionError as error:
                    raise AssertionError(f"stream {number}: {error}") from None
        server.close()

    asyncio.run(main())


async def said_to(client: AsyncAnthropic, number: int) -> Read:
    """Text, stop reason, usage and type of the error of one stream of chunks, as the SDK reads its translation."""
    parts: list[str] = []
    stop, usage = None, None
    try:
        asked: Any = {"messages": [{"role": "user", "content": str(number)}], "model": "student", "max_tokens": 5}
        async for event in await client.messages.create(**asked, stream=True):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                parts.append(event.delta.text)
            elif event.type == "message_delta":
                stop, usage = event.delta.stop_reason, (event.usage.input_tokens or 0, event.usage.output_tokens)
    except APIStatusError as error:
        return "".join(parts), stop, usage, str(error.type)
    return "".join(parts), stop, usage, None


def translated(expected: Stream) -> Read:
    """The same, from the events that an independent parser finds in the chunks."""
    if expected.status != 200:
        return "", None, None, "api_error"
    text, stop = "", "end_turn"
    for _, data, *_ in expected.events:
        try:
            choice = json.loads(data)["choices"][0]
        except (ValueError, TypeError, LookupError):
            continue
        text += choice["delta"].get("content", "")
        stop = STOPS.get(choice.get("finish_reason"), stop)
    if expected.outcome != "ok":
        return text, None, None, "api_error"
    return text, stop, expected.usage or (0, 0), None


def test_streams_of_chunks_are_messages_to_anthropics_sdk(tmp_path: Path) -> None:
    async def main() -> None:
        server = await asyncio.start_server(upstream, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        student = {"base_url": url, "timeouts": PATIENT, "context_window": 100_000, "messages": "translate"}
        numbers = iter([number for number in range(3 * TRANSLATED) if generated(number).path == CHAT][:TRANSLATED])
        with running(tmp_path, {"student": student}) as gateway:

            async def ask_some() -> None:
                url = f"http://127.0.0.1:{gateway.port}"
                async with AsyncAnthropic(base_url=url, api_key="x", max_retries=0, timeout=60) as client:
                    for number in numbers:
                        assert await said_to(client, number) == translated(generated(number)), number

            await asyncio.gather(*(ask_some() for _ in range(4)))
        server.close()

    asyncio.run(main())


def test_the_streams_differ_and_cover_every_end() -> None:
    made = [generated(number) for number in range(500)]
    assert Counter(stream.outcome for stream in made).keys() == {"ok", "truncated", "upstream_error"}
    assert {stream.path for stream in made} == {CHAT, COMPLETIONS, RESPONSES, MESSAGES}
    assert {stream.headers.get("content-type") for stream in made} == set(TYPES)
    named = {value.strip() for value, _ in ENCODINGS.values()}
    assert {stream.headers.get("content-encoding") for stream in made} == {None, *named}
    framings = {("content-length" in stream.headers, "transfer-encoding" in stream.headers) for stream in made}
    assert framings == {(True, False), (False, True), (False, False)}
    assert generated.__wrapped__(7) == generated(7)
    assert len({b"".join(stream.segments) for stream in made}) > 490
