"""What the one request path asks of an endpoint."""

from __future__ import annotations

import abc
from typing import Any

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.accounting.usage import Usage, read_usage
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.sse import Event
from breakeven.router.policy import Route
from breakeven.router.text import Conversation


class Mark(msgspec.Struct):
    """What one event of a stream means.

    `usage` as reported in it, if any; `usage_only` where it carries nothing else; `seen` are the indices of
    the choices in it and `finished` those that it finishes; `done` where it ends the stream; `error` is an
    error object; `response_id` names the answer where its upstream keeps it.
    """

    usage: Usage | None = None
    usage_only: bool = False
    seen: tuple[int, ...] = ()
    finished: tuple[int, ...] = ()
    done: bool = False
    error: object = None
    response_id: str | None = None
    content: bool = True


class Adapter(abc.ABC):
    """One OpenAI endpoint: where is the text, where is the usage, what ends a stream.

    `stream_options`: whether a stream's usage must be asked for with stream_options, and whether `[DONE]`
    ends it. `streams`: whether the endpoint knows `stream`. `renames_limit`: whether its output limit has
    two spellings. `unrouted`: where `auto` goes without a decision, None where it is decided.
    """

    endpoint: Endpoint
    path: str
    stream_options: bool
    streams: bool = True
    renames_limit: bool = False
    unrouted: Route | None = None

    @abc.abstractmethod
    def check(self, body: Body) -> None:
        """Raise RequestError for wrong types in the fields that are read."""

    @abc.abstractmethod
    def conversation(self, body: Body) -> Conversation:
        """What the router sees."""

    def max_output_tokens(self, body: Body) -> int | None:  # noqa: ARG002
        """The client's own limit of output tokens."""
        return None

    def choices(self, body: Body) -> int:  # noqa: ARG002
        """How many choices must finish for a stream to be complete."""
        return 1

    def previous(self, body: Body) -> str | None:  # noqa: ARG002
        """The id of the stored response that this request goes on from."""
        return None

    def response_id(self, answer: bytes) -> str | None:  # noqa: ARG002
        """The id under which the upstream keeps this answer."""
        return None

    @abc.abstractmethod
    def usage(self, answer: bytes) -> Usage | None:
        """Usage of a whole answer; None where it has none."""

    @abc.abstractmethod
    def mark(self, event: Event) -> Mark:
        """What one event means. Never raises: what it cannot read is content."""

    @abc.abstractmethod
    def error_tail(self, error: bytes) -> bytes:
        """What ends a stream that failed after its first byte; `error` is an OpenAI error body."""


class _Answer(msgspec.Struct):
    usage: Any = None
    service_tier: Any = None


_ANSWER = msgspec.json.Decoder(_Answer)


def answer_usage(answer: bytes) -> Usage | None:
    """`usage` at the top level of a JSON answer, with the service tier beside it; None where there is none."""
    try:
        found = _ANSWER.decode(answer)
        return read_usage(found.usage, found.service_tier)
    except (msgspec.DecodeError, RecursionError):
        return None
