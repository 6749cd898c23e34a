"""What the one request path asks of an endpoint."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from gateway.body import Body
from gateway.record import Endpoint
from gateway.sse import Event
from gateway.usage import Usage, read_usage
from router.text import Conversation


class Mark(msgspec.Struct):
    """What one event of a stream means.

    `usage` as reported in it, if any; `usage_only` where it carries nothing else; `seen` are the indices of
    the choices in it and `finished` those that it finishes; `done` where it ends the stream; `error` is an
    error object.
    """

    usage: Usage | None = None
    usage_only: bool = False
    seen: tuple[int, ...] = ()
    finished: tuple[int, ...] = ()
    done: bool = False
    error: object = None
    content: bool = True


class Adapter(Protocol):
    """One OpenAI endpoint: where is the text, where is the usage, what ends a stream."""

    endpoint: Endpoint
    path: str
    # Whether a stream's usage must be asked for with stream_options, and whether `[DONE]` ends it.
    stream_options: bool

    def check(self, body: Body) -> None:
        """Raise RequestError for wrong types in the fields that are read."""

    def conversation(self, body: Body) -> Conversation:
        """What the router sees."""

    def max_output_tokens(self, body: Body) -> int | None:
        """The client's own limit of output tokens."""

    def choices(self, body: Body) -> int:
        """How many choices must finish for a stream to be complete."""

    def usage(self, answer: bytes) -> Usage | None:
        """Usage of a whole answer; None where it has none."""

    def mark(self, event: Event) -> Mark:
        """What one event means. Never raises: what it cannot read is content."""

    def error_tail(self, error: bytes) -> bytes:
        """What ends a stream that failed after its first byte; `error` is an OpenAI error body."""


class _Answer(msgspec.Struct):
    usage: Any = None


_ANSWER = msgspec.json.Decoder(_Answer)


def answer_usage(answer: bytes) -> Usage | None:
    """`usage` at the top level of a JSON answer."""
    try:
        return read_usage(_ANSWER.decode(answer).usage)
    except (msgspec.DecodeError, RecursionError):
        return None
