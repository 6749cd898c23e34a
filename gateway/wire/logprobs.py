"""The log-probabilities of tokens in the answers of chat completions and completions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec

from breakeven.gateway.wire.lenient_json import UNREADABLE, read
from breakeven.gateway.wire.sse import Scanner


class _Event(msgspec.Struct):
    choices: list[dict[str, Any]] | None = None


_EVENT = msgspec.json.Decoder(_Event)


def logprobs_in(data: bytes | None) -> list[float]:
    """Those of the first choice in the JSON of an event or an answer; empty for JSON that cannot be read."""
    try:
        choices = read(_EVENT, data or b"").choices or []
        logprobs = choices[0].get("logprobs") if choices else None
        if not isinstance(logprobs, dict):
            return []
        if logprobs.get("content") is not None:
            values = [item.get("logprob") for item in logprobs["content"]]
        else:
            values = list(logprobs.get("token_logprobs") or [])
    except (*UNREADABLE, AttributeError, TypeError):
        return []
    return [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]


def first_logprobs(data: bytes, count: int) -> list[float]:
    """Those of the first `count` tokens of a whole answer or of the events of a stream; fewer where it has fewer."""
    if data.lstrip()[:1] == b"{":
        return logprobs_in(data)[:count]
    return list(itertools.islice(_streamed(data), count))


def _streamed(data: bytes) -> Iterator[float]:
    for event in Scanner().feed(data):
        if event.data:
            yield from logprobs_in(event.data)
