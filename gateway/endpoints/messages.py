"""POST /v1/messages and /v1/messages/count_tokens, Anthropic's API; said in chat completions where an upstream speaks
only these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import msgspec.structs

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.accounting.usage import read_usage
from breakeven.gateway.endpoints import messages_read
from breakeven.gateway.endpoints.base import (
    CONTENT,
    UNFINISHED,
    Adapter,
    EventInfo,
    StreamTranslation,
    Translation,
    check_messages,
    unreadable,
)
from breakeven.gateway.endpoints.chat import ChatCompletions
from breakeven.gateway.endpoints.foreign import messages_without_unsigned, portable_messages
from breakeven.gateway.errors import RequestError, Untranslatable
from breakeven.gateway.translation.answer import message
from breakeven.gateway.translation.errors import error_body, with_status
from breakeven.gateway.translation.request import answer_schema, chat_request, wants_thinking
from breakeven.gateway.translation.stream import MessageStream
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.lenient_json import UNREADABLE, read, read_object
from breakeven.gateway.wire.sse import Event
from breakeven.router.policy import Route
from breakeven.router.text import Conversation

# Known to everyone who speaks this API, and sent where the client says none.
VERSION = "2023-06-01"
_CHAT = ChatCompletions()
_NOTHING = EventInfo(content=False)
_STOPPED = EventInfo(done=True, content=False)
# Fields of a block that begins, which are there before the model has said anything.
_EMPTY_BLOCKS = frozenset({"text", "thinking"})


class _Delta(msgspec.Struct):
    stop_reason: Any = None


class _Typed(msgspec.Struct):
    type: Any = None
    message: Any = None
    delta: _Delta | None = None
    usage: Any = None
    error: Any = None


_TYPED = msgspec.json.Decoder(_Typed)


class _AsChat:
    """A request of the Messages API to an upstream that speaks only chat completions."""

    reader: Adapter = _CHAT

    def __init__(self, *, thinking: bool) -> None:
        self._thinking = thinking

    def request(self, body: Body, route: Route) -> Body:
        # The student's server is one's own, mostly a vLLM, which takes it; an API may refuse an unknown field.
        return chat_request(body, top_k=route is Route.STUDENT)

    def answer(self, answer: bytes) -> bytes | None:
        return message(answer, thinking=self._thinking)

    def stream(self) -> StreamTranslation:
        return MessageStream(thinking=self._thinking)


class Messages(Adapter):
    """The adapter of /v1/messages. Its streams end with `message_stop`, not with `[DONE]`."""

    endpoint = Endpoint.MESSAGES
    path = "/messages"
    stream_options = False
    end_marker = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    limit_field: str | None = "max_tokens"
    version_headers: Mapping[str, str | None] = {"anthropic-version": VERSION, "anthropic-beta": None}
    translates = True
    id_headers = ("request-id",)

    def check(self, body: Body) -> None:
        check_messages(body)

    def conversation(self, body: Body) -> Conversation:
        return messages_read.conversation(body, self.items(body))

    def items(self, body: Body) -> list[Any]:
        return messages_read.items(body)

    def as_chat(self, body: Body) -> dict[str, Any] | None:
        try:
            return _CHAT.as_chat(chat_request(body, top_k=False))
        except Untranslatable:
            return None

    def json_only(self, body: Body) -> bool:
        return answer_schema(body) is not None

    def remove_foreign(self, body: Body, route: Route, maker: Route | None) -> None:
        # A vLLM reads what any model thought; the teacher's API verifies its signature.
        if route is Route.TEACHER and maker is Route.STUDENT:
            body.edit("messages", messages_without_unsigned)

    def make_portable(self, body: Body, route: Route) -> bool:
        answers_tool = route is Route.TEACHER and self.conversation(body).answers_tool
        changed = body.edit("messages", portable_messages)
        return (answers_tool and _stop_thinking(body)) or changed

    def translation(self, body: Body, *, native: bool) -> Translation | None:
        return None if native else _AsChat(thinking=wants_thinking(body))

    def prompt(self, body: Body) -> Body | None:
        try:
            return chat_request(body, top_k=False)
        except RequestError:
            return None

    def max_output_tokens(self, body: Body) -> int | None:
        return body.integer("max_tokens")

    def read_event(self, event: Event) -> EventInfo:
        # Nearly all events, whose data need not be read.
        if event.name == b"content_block_delta":
            return CONTENT
        if not event.data:
            return _NOTHING
        try:
            typed = read(_TYPED, event.data)
        except UNREADABLE:
            return unreadable(event.data)
        kind = typed.type
        if kind == "error" or typed.error is not None:
            return EventInfo(error=with_status(typed.error or read_object(event.data) or {}), done=True)
        if kind == "message_stop":
            return _STOPPED
        if kind == "message_start":
            return _started(typed.message)
        if kind == "message_delta":
            stopped = typed.delta is not None and typed.delta.stop_reason not in UNFINISHED
            more = typed.usage if isinstance(typed.usage, dict) else None
            return EventInfo(more_usage=more, finished=(0,) if stopped else (), content=False)
        return CONTENT if kind in ("content_block_start", "content_block_delta") else _NOTHING

    def has_content(self, event: Event) -> bool:
        fields = read_object(event.data or b"") or {}
        if fields.get("type") == "content_block_delta":
            delta = fields.get("delta")
            return isinstance(delta, dict) and any(value for name, value in delta.items() if name != "type")
        block = fields.get("content_block")
        if not isinstance(block, dict):
            return False
        kind = block.get("type")
        return kind not in _EMPTY_BLOCKS or bool(block.get("text") or block.get("thinking"))

    def error_body(self, error: RequestError) -> bytes:
        return error_body(error.status, error.message)

    def error_tail(self, error: RequestError, number: int) -> bytes:  # noqa: ARG002
        return b"event: error\ndata: %b\n\n" % error_body(error.status, error.message)


class CountTokens(Messages):
    """The adapter of /v1/messages/count_tokens, which no model answers: see `gateway.proxy.count_tokens`."""

    endpoint = Endpoint.COUNT_TOKENS
    path = "/messages/count_tokens"
    streams = False
    in_ledger = False
    limit_field = None

    def translation(self, body: Body, *, native: bool) -> Translation | None:  # noqa: ARG002
        return None


def _stop_thinking(body: Body) -> bool:
    """Take back that the model is to think; whether that was asked. Anthropic's API demands then that what it thought
    before it called a tool comes with the result, which is not there where another model made the call.
    """
    thinking = body.get("thinking", Any, "an object")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return False
    body.remove("thinking")
    body.edit("context_management", _without_thinking)
    return True


def _without_thinking(raw: msgspec.Raw) -> dict[str, Any] | None:
    """What is to be cleared of a long conversation without its thinking, which is refused where none is asked for."""
    fields = read_object(bytes(raw)) or {}
    edits = fields.get("edits")
    if not isinstance(edits, list):
        return None
    kept = [one for one in edits if not (isinstance(one, dict) and str(one.get("type")).startswith("clear_thinking"))]
    return {**fields, "edits": kept} if len(kept) < len(edits) else None


def _started(message: object) -> EventInfo:
    """The event that begins a message: the prompt's tokens are known, those of the answer are not yet."""
    usage = read_usage(message.get("usage")) if isinstance(message, dict) else None
    if usage is not None:
        usage = msgspec.structs.replace(usage, output=0, complete=False)
    return EventInfo(usage=usage, content=False)
