"""Streams made from a seed, with what a client of the gateway must get of each, as an independent parser reads it."""

from __future__ import annotations

import functools
import itertools
import json
import random
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.support.encodings import ENCODINGS

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
TYPES = ["text/event-stream", "text/event-stream; charset=utf-8", "text/plain", "application/json", None]
TEXTS = ["a", " ", "né", "漢字", "🙂", "data: x", "line\nbreak", '"quoted" \\', "[DONE]", "\u2028", "NaN"]
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
    path = rng.choice([CHAT, CHAT, COMPLETIONS, RESPONSES])
    end = rng.choice(ENDS)
    usage = None if rng.random() < 0.2 else (rng.randrange(1, 500), rng.randrange(1, 500))
    writer = _Responses(rng, usage) if path == RESPONSES else _Chunks(rng, usage, chat=path == CHAT)
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


def _body(rng: random.Random, writer: _Chunks | _Responses, end: str) -> list[str]:
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
        return [*events, writer.error(), *writer.marker()]
    if end == "marker only":
        return [*events, *writer.tail(), "data: [DONE]"]
    return [*events, *writer.finish(), *(writer.marker() if end == "done" else [])]


def _expect(made: Stream, end: str, plain: list[bytes], writer: _Chunks | _Responses, usage: Any) -> None:
    """Fill in what the client must get."""
    events = read(b"".join(plain))
    withheld = [event for event in events if _only_usage(event)]
    events = [event for event in events if not _only_usage(event)]
    if withheld or (made.path == RESPONSES and end in ("done", "no marker")):
        made.usage = usage
    assert made.usage == _reported([*events, *withheld]), "the parser finds another usage than was written"
    if end == "error first":
        made.status, made.outcome, made.usage = 503, "upstream_error", None
        return
    if made.wants_usage and withheld:
        at = len(events) - (events[-1][1] == "[DONE]")
        events.insert(at, withheld[-1])
    made.error = end in ("cut", "cut in an event", "closed")
    made.outcome = "truncated" if made.error else "upstream_error" if end == "error" else "ok"
    if made.path != RESPONSES and end == "no marker":
        events.append(("message", "[DONE]", events[-1][2], None))
    made.events = events


def _object(event: Event) -> dict[str, Any]:
    try:
        value = json.loads(event[1])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _reported(events: list[Event]) -> tuple[int, int] | None:
    """Prompt and output tokens of the last usage in parsed events."""
    found = None
    for value in map(_object, events):
        usage = value.get("usage") or value.get("response", {}).get("usage") or {}
        for prompt, output in (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")):
            found = (usage[prompt], usage[output]) if prompt in usage else found
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


def _data(rng: random.Random, value: object) -> str:
    """JSON as the data of an event, sometimes over several lines."""
    space = rng.choice(["", " "])
    if rng.random() < 0.1:
        return "\n".join(f"data:{space}{line}" for line in json.dumps(value, indent=1).split("\n"))
    return f"data:{space}{json.dumps(value, ensure_ascii=rng.random() < 0.5)}"


class _Chunks:
    """Events of chat completions and completions."""

    def __init__(self, rng: random.Random, usage: tuple[int, int] | None, *, chat: bool) -> None:
        self._rng = rng
        self._chat = chat
        self._usage = usage

    def _chunk(self, text: str | None, finish: str | None = None) -> str:
        part = {"delta": {} if text is None else {"content": text}} if self._chat else {"text": text or ""}
        return _data(self._rng, {"id": "c", "choices": [{"index": 0, **part, "finish_reason": finish}]})

    def beginning(self) -> list[str]:
        role = _data(self._rng, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        azure = _data(self._rng, {"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
        return self._rng.choices([role, azure, ": ping", "event: ping\ndata: {}"], k=self._rng.randrange(4))

    def content(self) -> str:
        return self._chunk(self._rng.choice(TEXTS), self._rng.choice([None, None, ""]))

    def finish(self) -> list[str]:
        return [self._chunk(None, self._rng.choice(["stop", "length", "tool_calls"])), *self.tail()]

    def tail(self) -> list[str]:
        if self._usage is None:
            return []
        prompt, output = self._usage
        last = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        chunks = (
            [last] if self._rng.random() < 0.8 else [{**last, "completion_tokens": 0, "total_tokens": prompt}, last]
        )
        return [_data(self._rng, {"id": "c", "choices": [], "usage": usage}) for usage in chunks]

    def error(self) -> str:
        return _data(self._rng, {"error": {"message": "died", "type": "x", "param": None, "code": 503}})

    def marker(self) -> list[str]:
        return [self._rng.choice(["data: [DONE]", "data:[DONE]"])]


class _Responses:
    """Events of responses."""

    def __init__(self, rng: random.Random, usage: tuple[int, int] | None) -> None:
        self._rng = rng
        self._usage = usage

    def _typed(self, kind: str, **fields: Any) -> str:
        data = _data(self._rng, {"type": kind, **fields})
        return f"event: {kind}\n{data}" if self._rng.random() < 0.8 else data

    def beginning(self) -> list[str]:
        response = {"id": "r", "output": [], "usage": None}
        events = [self._typed("response.created", response=response), ": ping"]
        return [*events[: self._rng.randrange(3)], self._typed("response.in_progress", response=response)]

    def content(self) -> str:
        return self._typed("response.output_text.delta", delta=self._rng.choice(TEXTS))

    def finish(self) -> list[str]:
        usage = None
        if self._usage is not None:
            usage = {"input_tokens": self._usage[0], "output_tokens": self._usage[1], "total_tokens": sum(self._usage)}
        kind = self._rng.choice(["completed", "incomplete"])
        return [self._typed(f"response.{kind}", response={"id": "r", "status": kind, "output": [], "usage": usage})]

    def tail(self) -> list[str]:
        return []

    def error(self) -> str:
        return self._typed("error", code="503", message="died", param=None)

    def marker(self) -> list[str]:
        return []
