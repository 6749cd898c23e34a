"""The scanner gives the same events with any segmentation, and keeps every byte."""

from __future__ import annotations

import itertools
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.endpoints.chat import ChatCompletions
from breakeven.gateway.wire.sse import Event, Scanner, starts_events

EXAMPLES = 10_000 if os.environ.get("BREAKEVEN_CI") == "1" else 500

SAMPLE = (
    '\ufeffdata: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    ": comment\n\n"
    'data:{"choices":[{"index":0,"delta":{"content":"né 漢 🙂"}}]}\n\n'
    "retry: 100\n\nevent: ping\n\ndata:\n\ndata\n\n"
    'event: message\nid: 1\ndata: {"choices":[{"index":0,\ndata: "delta":{"content":"x"}}]}\n\n'
    'data: {"choices": [broken\n\n'
    'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}\n\n'
    "data: [DONE]\n\n"
).encode()


def scanned(segments: list[bytes]) -> list[Event]:
    scanner = Scanner()
    events = [event for segment in segments for event in scanner.feed(segment)]
    last = scanner.flush()
    return events if last is None else [*events, last]


def reference(text: str) -> list[tuple[str | None, str | None]]:
    """Data and name of each event, parsed line by line as the specification says."""
    events, data, name, some = [], None, None, False
    for line in re.split("\r\n|\n|\r", text.removeprefix("\ufeff")):
        if not line:
            if some:
                events.append((data, name))
            data, name, some = None, None, False
            continue
        some = True
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data = value if data is None else f"{data}\n{value}"
        elif field == "event":
            name = value
    return events


def decoded(events: list[Event]) -> list[tuple[str | None, str | None]]:
    """Data and name of the events, without those that consist only of line ends."""
    return [
        (None if e.data is None else e.data.decode(), None if e.name is None else e.name.decode())
        for e in events
        if e.raw.strip(b"\r\n")
    ]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_every_cut_position_gives_the_same_events_and_usage(ending: bytes) -> None:
    data = SAMPLE.replace(b"\n", ending)
    expected = decoded(scanned([data]))
    assert len(expected) == 12
    chat = ChatCompletions()
    for cut in range(len(data) + 1):
        events = scanned([data[:cut], data[cut:]])
        assert b"".join(event.raw for event in events) == data
        assert decoded(events) == expected
        infos = [chat.read_event(event) for event in events]
        assert [info.usage for info in infos if info.usage] == [Usage(7, 0, 5, True)]
        assert [info.done for info in infos].count(True) == 1


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_segments_of_one_byte_give_the_same_events(ending: bytes) -> None:
    data = SAMPLE.replace(b"\n", ending)
    assert decoded(scanned([data[i : i + 1] for i in range(len(data))])) == decoded(scanned([data]))


def test_an_event_is_returned_as_soon_as_it_is_complete() -> None:
    scanner = Scanner()
    assert scanner.feed(b"data: a\n") == []
    assert [event.data for event in scanner.feed(b"\nda")] == [b"a"]
    assert [event.data for event in scanner.feed(b"ta: b\n\ndata: c\n\n")] == [b"b", b"c"]
    assert scanner.flush() is None


def test_a_crlf_event_waits_at_most_for_its_last_byte() -> None:
    scanner = Scanner()
    assert scanner.feed(b"data: a\r\n\r") == []
    assert [event.raw for event in scanner.feed(b"\n")] == [b"data: a\r\n\r\n"]


lines = st.one_of(
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["", "", "", "data: x", "data:", "data", "event: e", ": c", "retry: 1", "data:  two"]),
)
streams = st.lists(st.tuples(lines, st.sampled_from(["\n", "\r\n", "\r"])), max_size=12)


@pytest.mark.timeout(900)
@settings(max_examples=EXAMPLES, deadline=None)
@given(streams, st.lists(st.integers(0, 400), max_size=8))
def test_any_stream_in_any_segments_is_read_as_specified_and_kept_as_sent(
    parts: list[tuple[str, str]], cuts: list[int]
) -> None:
    text = "".join(line + end for line, end in parts) + "\n\n"
    data = text.encode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    events = scanned([data[a:b] for a, b in itertools.pairwise(edges)])
    assert b"".join(event.raw for event in events) == data
    assert decoded(events) == reference(text)


@pytest.mark.timeout(900)
@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_the_raw_bytes_of_events_add_up_to_the_input(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    events = scanned([data[a:b] for a, b in itertools.pairwise(edges)])
    assert b"".join(event.raw for event in events) == data
    chat = ChatCompletions()
    for event in events:
        chat.read_event(event)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"data: x", True), (b"data:", True), (b"data\n", True), (b": ping", True), (b":", True), (b"event: x", True),
        (b"id: 1", True), (b"retry: 5", True), (b"\n\r\n data: x", True), (b"\xef\xbb\xbfdata: x", True),
        (b"", None), (b"\n", None), (b"d", None), (b"data", None), (b"eve", None), (b"\xef", None),
        (b"\xef\xbb\xbf", None),
        (b"{", False), (b"[", False), (b"<html>", False), (b"database: x", False), (b"Data: x", False),
        (b"datum", False), (b"\xef\xbb\xbf{", False), (b"error: x", False), (b"\x00", False),
    ],
)  # fmt: skip
def test_a_stream_of_events_is_told_by_its_first_bytes(head: bytes, expected: bool | None) -> None:
    assert starts_events(head) is expected
