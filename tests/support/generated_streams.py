"""Streams made from a seed, with what a client of the gateway must get of each, as an independent parser reads it."""

from __future__ import annotations

import functools
import itertools
import json
import random
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.support import stream_writers
from tests.support.encodings import ENCODINGS
from tests.support.stream_writers import CHAT, COMPLETIONS, MESSAGES, RESPONSES, TYPED, Writer

TYPES = ["text/event-stream", "text/event-stream; charset=utf-8", "text/plain", "application/json", None]
_BOM = b"\xef\xbb\xbf"
ODD = [
    ": comment",
    "retry: 100",
    "id: 7",
    "event: ping",
    "data:",
    "data",
    "unknown: field",
    "data: [1,2]",
    "data: {broken",
]
ENDS = ["done", "no marker", "marker only", "cut", "cut in an event", "closed", "error", "error first"]
# How the body is framed in HTTP: chunks that are the segments, chunks whose own frames are cut anywhere too, a length,
# or the end of the connection.
FRAMINGS = ["chunks", "cut chunks", "length", "end of connection"]
Event = tuple[str, str, str, int | None]


@dataclass
class Stream:
    """One answer of the upstream, and what is to come of it. `usage` is None where none is reported.

    `segments` are sent one by one, with the frames of HTTP; `clean_end`: not cut off in these frames.
    """

    path: str
    wants_usage: bool
    headers: dict[str, str]
    segments: list[bytes]
    clean_end: bool
    status: int = 200
    outcome: str = "ok"
    usage: tuple[int, int] | None = None
    events: list[Event] = field(default_factory=list)
    error: bool = False


def read(data: bytes) -> list[Event]:
    """The events of a stream as httpx2 reads them, which leaves the byte order mark to others."""
    data = data.removeprefix(_BOM)
    request = httpx2.Request("POST", "http://upstream")
    response = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data, request=request)
    return [(found.event, found.data, found.id, found.retry) for found in httpx2.EventSource(response)]


@functools.cache
def generated(number: int) -> Stream:
    """The stream of this number, always the same."""
    rng = random.Random(number)
    path = rng.choice([CHAT, CHAT, COMPLETIONS, RESPONSES, MESSAGES, MESSAGES])
    end = rng.choice(ENDS)
    usage = None if rng.random() < 0.2 else (rng.randrange(1, 500), rng.randrange(1, 500))
    writer = stream_writers.writer(rng, path, usage)
    events = _body(rng, writer, end)
    plain = [_framed(rng, event) for event in events]
    if end == "cut in an event":
        last = plain[-1]
        plain[-1] = last[: rng.randrange(last.index(b"{") + 1, last.rindex(b"}"))].rstrip(b"\r\n")
    name = rng.choice(list(ENCODINGS))
    encoding, pack = ENCODINGS[name]
    named = rng.choice(TYPES)
    headers = {} if named is None else {"content-type": named}
    if name != "identity" or rng.random() < 0.5:
        headers["content-encoding"] = encoding.strip()
    wants_usage, framing = rng.random() < 0.5, rng.choice(FRAMINGS)
    whole = b"".join(plain)
    segments = _in_http(rng, framing, pack(_BOM + whole if rng.random() < 0.05 else whole), headers, end != "closed")
    made = Stream(path, wants_usage, headers, segments, end != "closed")
    _expect(made, end, plain, writer, usage)
    return made


def _body(rng: random.Random, writer: Writer, end: str) -> list[str]:
    """The events of a stream that ends in this way, each as lines that end in LF, without its empty line."""
    events = writer.beginning()
    if end == "error first":
        return [*events, writer.error()]
    events.append(writer.content())
    for _ in range(rng.randrange(6)):
        events.append(rng.choice(ODD) if rng.random() < 0.3 else writer.content())
    if end in ("cut", "closed"):
        return events
    if end == "cut in an event":
        return [*events, writer.content()]
    if end == "error":
        return [*events, writer.error(), *writer.after_error()]
    if end == "marker only":
        return [*events, *writer.tail(), *(writer.marker() or ["data: [DONE]"])]
    return [*events, *writer.finish(), *(writer.marker() if end == "done" else [])]


def _expect(made: Stream, end: str, plain: list[bytes], writer: Writer, usage: Any) -> None:
    """Fill in what the client must get."""
    events = read(b"".join(plain))
    withheld = [event for event in events if _only_usage(event)]
    events = [event for event in events if not _only_usage(event)]
    if withheld or (made.path in TYPED and end in ("done", "no marker")):
        made.usage = usage
    assert made.usage == _reported([*events, *withheld]), "the parser finds another usage than was written"
    if end == "error first":
        made.status, made.outcome, made.usage = writer.status, "upstream_error", None
        return
    if made.wants_usage and withheld:
        at = len(events) - (events[-1][1] == "[DONE]")
        events.insert(at, withheld[-1])
    made.error = end in ("cut", "cut in an event", "closed")
    made.outcome = "truncated" if made.error else "upstream_error" if end == "error" else "ok"
    if made.path not in TYPED and end == "no marker":
        events.append(("message", "[DONE]", events[-1][2], None))
    if made.path == MESSAGES and end == "no marker":
        events.append(("message_stop", '{"type":"message_stop"}', events[-1][2], None))
    made.events = events


def _object(event: Event) -> dict[str, Any]:
    try:
        value = json.loads(event[1])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _reported(events: list[Event]) -> tuple[int, int] | None:
    """Prompt and output tokens of the last usage in parsed events; of messages those of the beginning and the end."""
    found = begun = None
    for value in map(_object, events):
        usage = value.get("usage") or value.get("response", {}).get("usage") or {}
        for prompt, output in (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")):
            found = (usage[prompt], usage[output]) if prompt in usage else found
        if value.get("type") == "message_start":
            begun = (value["message"]["usage"] or {}).get("input_tokens")
        if value.get("type") == "message_delta" and usage.keys() == {"output_tokens"} and begun is not None:
            found = (begun, usage["output_tokens"])
    return found


def _only_usage(event: Event) -> bool:
    value = _object(event)
    return value.get("choices") == [] and isinstance(value.get("usage"), dict)


def _framed(rng: random.Random, event: str) -> bytes:
    """An event with one kind of line end, or with another for each line, and its empty line."""
    endings = rng.choice([["\n"], ["\n"], ["\r\n"], ["\r"], ["\n", "\r\n"]])
    return "".join(line + rng.choice(endings) for line in (event + "\n").split("\n")).encode()


def _in_http(rng: random.Random, framing: str, body: bytes, headers: dict[str, str], clean_end: bool) -> list[bytes]:
    """The body in segments with its frames; `headers` gets those that name the framing."""
    if framing == "length":
        headers["content-length"] = str(len(body) + (not clean_end))
    elif framing != "end of connection":
        headers["transfer-encoding"] = "chunked"
        last = b"0\r\n\r\n" if clean_end else b""
        chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in _segments(rng, body)]
        return [*chunks, last] if framing == "chunks" else _segments(rng, b"".join(chunks) + last)
    return _segments(rng, body)


def _segments(rng: random.Random, data: bytes) -> list[bytes]:
    if rng.random() < 0.1:
        return [data[i : i + 1] for i in range(len(data))]
    cuts = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(rng.randrange(12)))})
    return [data[a:b] for a, b in itertools.pairwise(cuts)]
