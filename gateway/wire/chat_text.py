"""The text of chat requests and answers, read from their JSON or event-stream bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.wire.lenient_json import read
from breakeven.gateway.wire.sse import Scanner

Message = dict[str, Any]
# A longer answer is not captured, so it is not compared.
_MAX_CAPTURED_BYTES = 1 << 18


class _Part(msgspec.Struct):
    content: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct):
    index: Any = 0
    message: _Part | None = None
    delta: _Part | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class AnswerCapture:
    """A bounded copy of the bytes of one answer, made while it is relayed."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._too_long = False

    def restart(self) -> None:
        """Discard what was captured, before another attempt."""
        self._data.clear()
        self._too_long = False

    def feed(self, segment: bytes) -> None:
        """Append a segment of the answer; above the limit everything is discarded."""
        if len(self._data) + len(segment) > _MAX_CAPTURED_BYTES:
            self._too_long = True
            self._data.clear()
        elif not self._too_long:
            self._data += segment

    def text(self) -> str | None:
        """The text of the captured answer, JSON or event stream; None if empty, too long, or not a single text."""
        data = bytes(self._data)
        return whole_text(data) if data.lstrip()[:1] == b"{" else _streamed_text(data)


def whole_text(data: bytes) -> str | None:
    """The content of a chat completion in JSON; None for tool calls, several choices, or anything else."""
    choices = _choices(data)
    message = choices[0].message if choices and len(choices) == 1 else None
    if message is None or message.tool_calls or not isinstance(message.content, str):
        return None
    return message.content


def flattened(messages: list[Any]) -> list[Message]:
    """Chat messages reduced to role and text, for a judge; content that is not text is left out."""
    return [
        {"role": str(message.get("role", "user")), "content": _text(message.get("content"))}
        for message in messages
        if isinstance(message, dict)
    ]


def _streamed_text(data: bytes) -> str | None:
    scanner = Scanner()
    events = scanner.feed(data)
    last = scanner.flush()
    texts: list[str] = []
    for event in [*events, *([last] if last is not None else [])]:
        for choice in _choices(event.data or b"{}") or ():
            if choice.delta is None:
                continue
            if choice.delta.tool_calls or choice.index != 0:
                return None
            if isinstance(choice.delta.content, str):
                texts.append(choice.delta.content)
    return "".join(texts) or None


def _choices(data: bytes) -> list[_Choice] | None:
    """The choices in the JSON of an answer or an event; None where it has none or cannot be read."""
    try:
        return read(_ANSWER, data).choices
    except (msgspec.DecodeError, RecursionError):
        return None


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str))
