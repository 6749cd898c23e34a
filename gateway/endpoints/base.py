"""The interface between the request path and an endpoint."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.accounting.usage import Usage, read_usage
from breakeven.gateway.errors import RequestError
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.chat_text import Message, flattened
from breakeven.gateway.wire.error_objects import error_in_array
from breakeven.gateway.wire.lenient_json import UNREADABLE, read
from breakeven.gateway.wire.sse import Event
from breakeven.router.policy import Route
from breakeven.router.text import Conversation


class EventInfo(msgspec.Struct):
    """The contents of one stream event.

    `usage`: as reported in it, None without; `usage_only`: it has nothing else; `more_usage`: the usage object of an
    event that adds to the usage which an earlier one reported. `seen`: indices of the choices in it; `finished`: of
    those that it finishes. `done`: it is the last event, `[DONE]` or a typed one. `error`: an error object.
    `response_id`: the id under which the upstream stores the response. `content`: it may have something of the answer
    in it; see `Adapter.has_content`.
    """

    usage: Usage | None = None
    usage_only: bool = False
    more_usage: dict[str, Any] | None = None
    seen: tuple[int, ...] = ()
    finished: tuple[int, ...] = ()
    done: bool = False
    error: object = None
    response_id: str | None = None
    content: bool = True


# What servers write as the reason for the end of an answer that goes on.
UNFINISHED = (None, "", "null")
# What `type` is where only JSON is wanted.
JSON_FORMATS = frozenset({"json_object", "json_schema"})
# An event whose JSON says nothing that the gateway reads: the client gets it as content.
CONTENT = EventInfo()
_NO_CONTENT = EventInfo(content=False)
_DONE = EventInfo(done=True, content=False)


def without_json(data: bytes | None) -> EventInfo:
    """What an event means that carries no JSON: the end of the stream with `[DONE]`, else nothing."""
    return _DONE if data else _NO_CONTENT


def unreadable(data: bytes) -> EventInfo:
    """What an event means whose JSON is not of the API: an error in an array, else content."""
    error = error_in_array(data)
    return CONTENT if error is None else EventInfo(error=error)


class Reference(NamedTuple):
    """State at an upstream that a request names: the field, and the id in it. `whole`: what is sent may be all of it,
    so that the upstream need not know it.
    """

    param: str
    id: str
    whole: bool = False


class StreamTranslation(Protocol):
    """Translates one stream of an upstream into that of the endpoint."""

    def feed(self, event: Event) -> bytes:
        """The events that one event becomes; empty for none. Never raises."""

    def end(self, usage: Usage) -> bytes:
        """The last events of a complete answer with this usage."""


class Translation(Protocol):
    """One request to an upstream that does not speak the endpoint's API: how it is said in one that it speaks.

    `reader` is the adapter of that API.
    """

    reader: Adapter

    def request(self, body: Body, route: Route) -> Body:
        """The request for the upstream. Raises Untranslatable, and RequestError 400 for what is not valid."""

    def answer(self, answer: bytes) -> bytes | None:
        """A whole answer of the upstream as one of the endpoint; None for what is no answer."""

    def stream(self) -> StreamTranslation:
        """What translates a stream of the upstream."""


class Adapter(abc.ABC):
    """One endpoint: reads its requests, responses and stream events.

    `method` and `path`: of the request upstream, the path below /v1. `stream_options`: whether streams report usage
    only if stream_options asks for it. `end_marker`: what ends a complete stream whose upstream left it out.
    `streams`: whether the endpoint supports `stream`.
    `limit_field`: the field that limits its output tokens, None where it has none; `renames_limit`: whether that has
    two spellings. `unrouted`: the upstream that `auto` always selects, None if the router decides. `in_ledger`: whether
    its requests are paid for, so that the ledger has them. `names_stored`: whether requests may name what an upstream
    stores. `opaque`: only further models have it, and what they answer is passed on without being understood.
    `translates`: whether there are upstreams that do not speak its API, for which `translation` is asked.
    """

    endpoint: Endpoint
    method: str = "POST"
    path: str
    stream_options: bool
    end_marker = b""
    streams: bool = True
    renames_limit: bool = False
    limit_field: str | None = None
    unrouted: Route | None = None
    in_ledger: bool = True
    names_stored: bool = False
    opaque: bool = False
    translates: bool = False
    version_headers: Mapping[str, str | None] = {}
    id_headers: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        """The path with names instead of ids."""
        return self.path

    @abc.abstractmethod
    def check(self, body: Body) -> None:
        """Raise RequestError 400 for missing fields, and for wrong types in those that are read."""

    @abc.abstractmethod
    def conversation(self, body: Body) -> Conversation:
        """The request as the router sees it: text, earlier turns, modalities and tools."""

    def items(self, body: Body) -> list[Any]:  # noqa: ARG002
        """The messages that `conversation` counts, in one spelling; empty where the endpoint has none."""
        return []

    def dialogue(self, body: Body) -> list[Message]:
        """The conversation as roles and texts, for a judge of the answer."""
        return flattened(self.items(body))

    def as_chat(self, body: Body) -> dict[str, Any] | None:  # noqa: ARG002
        """What the model is given, in the form of chat completions: `messages`, and where the request has them `tools`,
        `tool_choice`, `parallel_tool_calls` and `response_format`. None where that form cannot express it. Raises
        RequestError 400 for what is no valid request.
        """
        return None

    def json_only(self, body: Body) -> bool:
        """Whether the request demands an answer in JSON."""
        asked = body.get("response_format", Any, "an object")
        return isinstance(asked, dict) and asked.get("type") in JSON_FORMATS

    def remove_foreign(self, body: Body, route: Route, maker: Route | None) -> None:  # noqa: B027
        """Remove from a body what the upstream `route` cannot read and does without, where `maker`, if known, made the
        last answer of the conversation.
        """

    def make_portable(self, body: Body, route: Route) -> bool:  # noqa: ARG002
        """Remove from a body, for the upstream `route`, what an API may refuse that did not make it: all that a model
        thought, and odd ids of calls, which are replaced; whether there was anything.
        """
        return False

    def translation(self, body: Body, *, native: bool) -> Translation | None:  # noqa: ARG002
        """How the request is said to an upstream that does not speak the endpoint's API, or None where it does.

        `native`: the upstream speaks the Messages API; chat completions and the other APIs of OpenAI they all speak.
        """
        return None

    def prompt(self, body: Body) -> Body | None:
        """The request as vLLM's /tokenize takes it; None where it cannot be counted like that."""
        return body

    def max_output_tokens(self, body: Body) -> int | None:  # noqa: ARG002
        """The client's limit of output tokens; None without one."""
        return None

    def choices(self, body: Body) -> int:  # noqa: ARG002
        """The number of choices requested, all of which must finish for a stream to be complete."""
        return 1

    def previous(self, body: Body) -> str | None:  # noqa: ARG002
        """The id of the stored response that the request continues; None without one."""
        return None

    def references(self, body: Body) -> list[Reference]:  # noqa: ARG002
        """The stored state that a request continues or has in it. Raises RequestError 400 for what is no id."""
        return []

    def response_id(self, answer: bytes) -> str | None:  # noqa: ARG002
        """The id under which the upstream stores a response, read from its JSON; None if it does not store it."""
        return None

    def usage(self, answer: bytes) -> Usage | None:
        """The usage that a response's JSON reports; None if it reports none."""
        return answer_usage(answer)

    def failed(self, answer: bytes) -> object:  # noqa: ARG002
        """The error of a whole answer with success that says it failed and has nothing else; None for any other."""
        return None

    @abc.abstractmethod
    def read_event(self, event: Event) -> EventInfo:
        """Read one stream event. Never raises: an event that cannot be read counts as content."""

    def has_content(self, event: Event) -> bool:  # noqa: ARG002
        """Whether a stream event shows something of the answer, unlike the events before it: a chunk with only a role,
        the result of a content filter, `response.created`, a ping. Slower than `read_event`, and called only until the
        first event that does. Never raises.
        """
        return True

    def error_body(self, error: RequestError) -> bytes:
        """The JSON of an error that is the whole response."""
        return error.body()

    @abc.abstractmethod
    def error_tail(self, error: RequestError, number: int) -> bytes:
        """The last bytes of a stream that failed after its first byte.

        `number` is the `sequence_number` that follows those of the stream, 0 where its events have none.
        """


def check_messages(body: Body) -> None:
    """Raise RequestError 400 where a body's `messages` are not an array of objects, at least one."""
    messages = body.get("messages", list[Any], "an array of messages")
    if not messages:
        raise RequestError(
            400, "'messages' must have at least one message.", param="messages", code="missing_required_parameter"
        )
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise RequestError(
                400, f"'messages[{index}]' must be an object.", param=f"messages[{index}]", code="invalid_type"
            )


class _Answer(msgspec.Struct):
    usage: Any = None
    service_tier: Any = None


_ANSWER = msgspec.json.Decoder(_Answer)


def answer_usage(answer: bytes) -> Usage | None:
    """The usage at the top level of a response's JSON, with the service tier beside it; None if there is none."""
    try:
        found = read(_ANSWER, answer)
    except UNREADABLE:
        return None
    return read_usage(found.usage, found.service_tier)


def says_something(value: object) -> bool:
    """Whether there is anything in a JSON value: not null, false, an empty text, or a container of nothing else."""
    if isinstance(value, dict):
        return any(map(says_something, value.values()))
    if isinstance(value, list):
        return any(map(says_something, value))
    return value is not None and value is not False and value != ""
