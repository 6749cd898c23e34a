"""Mutated streams of events and JSON bodies through our readers, beside those of others: httpx2's events and json."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx2

from breakeven.gateway.errors import RequestError
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.sse import Event, Scanner
from tests.attack.result import Attack, Result, Setting

_LINES = (
    b"data: {\"choices\":[{\"delta\":{\"content\":\"word\"}}]}", b"data:", b"data", b"data: [DONE]",
    b"data:  two spaces", b"event: error", b"event:", b"event", b": ping", b":", b"id: 1", b"retry: 10",
    b"retry: x", b"unknown: 1", b"data :x", b" data: x", b"DATA: x", b"", b"\xc3\xa9t\xc3\xa9",
    b"data: \xff\xfe", b"data: \xe2\x80\xa8 x", b"data: \xc2\x85x", b"data: \x00", b"data: \x0b\x0c\x1c",
)  # fmt: skip
_ENDS = (b"\n", b"\n", b"\n", b"\r\n", b"\r")
_BOM = b"\xef\xbb\xbf"
# What a mutated body may put in the place of a piece of itself.
_PIECES = (
    b"", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\\ud83d\\ude00", b"NaN",
    b"-Infinity", b"1e999", b"-0", b"1.0", b"9" * 30, b"0x1", b"01", b"null", b"true", b"False", b"'", b"\x00",
    b"\xff", b"\xc2\x85", b"\xe2\x80\xa8", b"\t", b"\n", b" ", b"/*x*/", b'"model":"b",', b'"\\u006dodel":"c",',
    b"[" * 40, b"\xef\xbb\xbf",
)  # fmt: skip
_BODIES: Sequence[bytes] = tuple(
    json.dumps(body).encode()
    for body in (
        {"model": "auto", "messages": [{"role": "user", "content": 'hé \U0001f600 \\ " \n'}], "stream": True},
        {"model": "auto", "input": "x", "temperature": 0.7, "metadata": {"a": None}, "max_tokens": 16, "stop": ["a"]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "t"}]}], "tools": [{"function": {}}]},
    )
)


def events(setting: Setting) -> Result:
    """Mutated streams of events in any segments: the events that httpx2 reads, and the bytes as they came."""
    return _fuzz("sse-fuzz", setting, one_stream)


def bodies(setting: Setting) -> Result:
    """Mutated JSON bodies: read as Python's json reads them, or refused where it does, and sent on as they came."""
    return _fuzz("body-fuzz", setting, one_body)


def _fuzz(name: str, setting: Setting, case: Callable[[random.Random], bool]) -> Result:
    seed, end, counts = time.time_ns() % 1_000_000, time.monotonic() + setting.seconds, [0, 0]
    rng = random.Random(seed)
    while time.monotonic() < end:
        counts[case(rng)] += 1
    return Result(name, True, {"read": f"{counts[1]:,}", "refused": f"{counts[0]:,}", "seed": str(seed)})


def one_stream(rng: random.Random) -> bool:
    """Read one stream with both. Returns True; raises AssertionError where they differ, with the bytes."""
    ends = [rng.choice(_ENDS)] if rng.random() < 0.5 else list(_ENDS)
    data = _BOM if rng.random() < 0.1 else b""
    for _ in range(rng.randrange(1, 30)):
        data += rng.choice(_LINES) + rng.choice(ends) * rng.choice((1, 1, 2, 2, 3))
    # Readers differ on whether an event without its empty line is one.
    data += b"\n\n"
    scanner, at = Scanner(), 0
    found: list[Event] = []
    while at < len(data):
        size = rng.choice((1, 2, 7, 40, 1000))
        found += scanner.feed(data[at : at + size])
        at += size
    rest = scanner.flush()
    relayed = b"".join(event.raw for event in found) + (rest.raw if rest else b"")
    ours = [(event.name or b"", event.data) for event in (*found, rest) if event is not None and event.data]
    decoded = [tuple(part.decode("utf-8", "replace") for part in one) for one in ours]
    theirs = [(name, text) for name, text in _events(data) if text]
    if relayed != data or [(name or "message", text) for name, text in decoded] != theirs:
        raise AssertionError(f"{data!r}: {decoded} and {theirs}")
    return True


def _events(data: bytes) -> list[tuple[str, str]]:
    request = httpx2.Request("POST", "http://upstream")
    headers = {"content-type": "text/event-stream"}
    response = httpx2.Response(200, headers=headers, content=data.removeprefix(_BOM), request=request)
    return [(found.event, found.data) for found in httpx2.EventSource(response)]


def one_body(rng: random.Random) -> bool:
    """Read one body with both; whether it was read. Raises AssertionError where they differ, with the bytes."""
    data = rng.choice(_BODIES)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice((0, 0, 1, 3, 20)))
        data = data[:at] + (rng.choice(_PIECES) if rng.random() < 0.8 else data[at:to] * 2) + data[to:]
    if rng.random() < 0.02:
        data = data.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-16-le", "utf-32")))
    expected, why = _read(data)
    try:
        body = Body(data)
        fields = {name: body.get(name, Any, "anything") for name in body._fields}
    except RequestError as error:
        if why is None:
            raise AssertionError(f"{data!r} is refused: {error}") from None
        return False
    if expected is None:
        raise AssertionError(f"{data!r} is read, though {why}")
    if _text(fields) != _text(expected):
        raise AssertionError(f"{data!r} is read as {fields!r}")
    body.set("model", "other")
    edited, _ = _read(body.encode())
    if json.dumps(edited) != json.dumps({**expected, "model": "other"}):
        raise AssertionError(f"{data!r} is sent on as {body.encode()!r}")
    return True


def _text(value: object) -> bytes:
    """The value to compare: what is no number is null, and half of a surrogate pair, which is no text, as any other."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return json.dumps(json.loads(text, parse_constant=lambda _: None), ensure_ascii=False).encode("utf-8", "replace")


def _read(data: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """The object that Python's decoder finds, and why it is none that may be taken."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        last.clear()
        last.extend(name for name, _ in pairs)
        return dict(pairs)

    last: list[str] = []
    try:
        found = json.loads(data, object_pairs_hook=unique)
    except UnicodeDecodeError:
        return None, "it is no UTF-8"
    except (ValueError, RecursionError):
        return None, "it is no JSON"
    if not isinstance(found, dict):
        return None, "it is no object"
    if len(last) != len(set(last)):
        return None, "a key comes twice"
    if any(name.encode("utf-8", "replace").decode() != name for name in last):
        return None, "a key is no text"
    return found, None


ATTACKS: dict[str, Attack] = {"sse-fuzz": events, "body-fuzz": bodies}
