"""POST /v1/responses: typed events, usage in the response object, and responses stored by their upstream."""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.accounting.usage import read_usage
from breakeven.gateway.endpoints.base import (
    CONTENT,
    JSON_FORMATS,
    Adapter,
    EventInfo,
    Reference,
    says_something,
    unreadable,
    without_json,
)
from breakeven.gateway.endpoints.foreign import portable_items, without_foreign_reasoning
from breakeven.gateway.errors import RequestError
from breakeven.gateway.translation.items import chat_format, chat_messages, chat_tools
from breakeven.gateway.wire.body import Body, as_boolean
from breakeven.gateway.wire.lenient_json import UNREADABLE, read, read_again, read_object
from breakeven.gateway.wire.sse import Event
from breakeven.router.policy import Route
from breakeven.router.text import Conversation, read_chat

_ENDINGS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
# Events before the answer itself: the response exists or waits, the connection lives, an item or a part begins.
_BEGINNINGS = ("response.created", "response.queued", "response.in_progress", "keepalive", "ping")
_STARTED_PARTS = {"response.output_item.added": "item", "response.content_part.added": "part"}
_NO_CONTENT = frozenset({"id", "type", "status", "role", "phase"})
_INPUT = "a string or an array"
_STORED = frozenset({"conversation", "prompt"})
_OTHER_STATE = _STORED | {"background"}
_BARE = frozenset({"id", "type"})
_ENDED = frozenset({"completed", "failed", "incomplete", "cancelled"})


class _Response(msgspec.Struct):
    id: Any = None
    status: Any = None
    usage: Any = None
    error: Any = None
    output: Any = None


class _Typed(msgspec.Struct):
    type: Any = None
    response: Any = None
    error: Any = None


_TYPED = msgspec.json.Decoder(_Typed)
_RESPONSE = msgspec.json.Decoder(_Response)


class Responses(Adapter):
    """The adapter of /v1/responses. Its streams end with a typed event, not with `[DONE]`."""

    endpoint = Endpoint.RESPONSES
    path = "/responses"
    stream_options = False
    limit_field: str | None = "max_output_tokens"
    names_stored = True

    def check(self, body: Body) -> None:
        for index, item in enumerate(self._items(body)):
            if not isinstance(item, dict):
                raise RequestError(
                    400, f"'input[{index}]' must be an object.", param=f"input[{index}]", code="invalid_type"
                )
        body.get("instructions", str | list[Any], _INPUT)
        self.previous(body)

    def conversation(self, body: Body) -> Conversation:
        seen = read_chat(self.items(body), body.get("tools", Any, "an array"))
        if not body.has_any(_OTHER_STATE):
            return seen
        # Conversations and prompt templates are stored by the teacher's API; a vLLM ignores them and answers 200.
        named = any(body.get(name, Any, "an object") is not None for name in _STORED)
        return seen._replace(stored=seen.stored or named, background=self.background(body))

    def items(self, body: Body) -> list[Any]:
        items = [_plain(item) for item in self._items(body)]
        instructions = body.get("instructions", Any, _INPUT)
        return [{"role": "system", "content": instructions}, *items] if instructions else items

    def as_chat(self, body: Body) -> dict[str, Any] | None:
        messages = chat_messages(self.items(body))
        tools = chat_tools(body.get("tools", Any, "an array"))
        if messages is None or tools is None:
            return None
        asked = chat_format(body.get("text", Any, "an object"))
        chosen = body.get("tool_choice", Any, "valid")
        if isinstance(chosen, dict) and chosen.get("type") == "function":
            chosen = {"type": "function", "function": {"name": chosen.get("name")}}
        fields = {
            "tools": tools or None,
            "tool_choice": chosen if tools else None,
            "parallel_tool_calls": body.get("parallel_tool_calls", Any, "a boolean") if tools else None,
            "response_format": asked,
        }
        return {"messages": messages, **{name: value for name, value in fields.items() if value is not None}}

    def json_only(self, body: Body) -> bool:
        text = body.get("text", Any, "an object")
        asked = text.get("format") if isinstance(text, dict) else None
        return isinstance(asked, dict) and asked.get("type") in JSON_FORMATS

    def remove_foreign(self, body: Body, route: Route, maker: Route | None) -> None:
        body.edit("input", lambda raw: without_foreign_reasoning(raw, route, maker))

    def make_portable(self, body: Body, route: Route) -> bool:
        return body.edit("input", lambda raw: portable_items(raw, route))

    def max_output_tokens(self, body: Body) -> int | None:
        return body.integer("max_output_tokens")

    def previous(self, body: Body) -> str | None:
        return body.get("previous_response_id", str, "a string")

    def references(self, body: Body) -> list[Reference]:
        found = []
        previous = self.previous(body)
        if previous is not None:
            found.append(Reference("previous_response_id", previous))
        named = body.get("conversation", Any, "a string or an object")
        if isinstance(named, dict):
            named = named.get("id")
        if isinstance(named, str):
            found.append(Reference("conversation", named))
        items = ((index, item) for index, item in enumerate(self._items(body)) if isinstance(item, dict))
        return found + [one for index, item in items if (one := _reference(index, item)) is not None]

    def background(self, body: Body) -> bool:
        """Whether the answer is to be made and stored after the request."""
        return as_boolean(body.get("background", Any, "a boolean")) is True

    def response_id(self, answer: bytes) -> str | None:
        found = _response(answer).id
        return found if isinstance(found, str) else None

    def failed(self, answer: bytes) -> object:
        found = _response(answer)
        return found.error or None if found.status == "failed" and not found.output else None

    def ended(self, answer: bytes) -> bool:
        """Whether a response, given as JSON, says that nothing more will be generated for it."""
        status = _response(answer).status
        return isinstance(status, str) and status in _ENDED

    def read_event(self, event: Event) -> EventInfo:
        data = event.data
        if not data or data.strip() == b"[DONE]":
            return without_json(data)
        try:
            typed = _TYPED.decode(data)
        except UNREADABLE:
            again = read_again(_TYPED, data)
            if again is None:
                return unreadable(data)
            typed = again
        kind = typed.type
        if typed.error is not None or kind == "error":
            return EventInfo(error=typed.error or read_object(data) or {})
        if not isinstance(typed.response, dict):
            return CONTENT
        response = typed.response
        found = response.get("id")
        known = found if isinstance(found, str) else None
        if kind not in _ENDINGS:
            return EventInfo(response_id=known)
        failed = kind == "response.failed"
        error = (response.get("error") or {"message": "The response failed."}) if failed else None
        usage = read_usage(response.get("usage"), response.get("service_tier"))
        return EventInfo(usage=usage, finished=(0,), done=True, error=error, response_id=known)

    def has_content(self, event: Event) -> bool:
        fields = read_object(event.data or b"")
        if not fields:
            return False
        kind = fields.get("type")
        part = fields.get(_STARTED_PARTS.get(kind, "")) if isinstance(kind, str) else None
        if isinstance(part, dict):
            return any(says_something(value) for name, value in part.items() if name not in _NO_CONTENT)
        return kind not in _BEGINNINGS

    def error_tail(self, error: RequestError, number: int) -> bytes:
        fields = msgspec.json.decode(error.body())["error"]
        # Clients of this API read the top-level fields; generic ones look only for `error`, and must fail as well.
        shown = {name: fields[name] for name in ("code", "message", "param")}
        event = {"type": "error", **shown, "sequence_number": number, "error": fields}
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(event)

    def _items(self, body: Body) -> list[Any]:
        given = body.get("input", str | list[Any], _INPUT)
        return [{"role": "user", "content": given}] if isinstance(given, str) else given or []


class Compact(Responses):
    """The adapter of /v1/responses/compact: the teacher makes its own, encrypted summary of a conversation, which only
    it can read. A vLLM has nothing of the kind.
    """

    endpoint = Endpoint.COMPACT_RESPONSE
    path = "/responses/compact"
    streams = False
    unrouted = Route.TEACHER

    def response_id(self, answer: bytes) -> str | None:  # noqa: ARG002
        return None


def _reference(index: int, item: dict[str, Any]) -> Reference | None:
    """What an item refers to: one without its content, whose type may be left out, or a thought, whose text may be."""
    id, kind = item.get("id"), item.get("type")
    if not isinstance(id, str):
        return None
    if kind == "item_reference" or (kind is None and item.keys() <= _BARE):
        return Reference(f"input[{index}].id", id)
    return Reference(f"input[{index}].id", id, whole=True) if kind == "reasoning" else None


def _response(answer: bytes) -> _Response:
    """The fields of a response that are read; empty ones for what is no JSON object."""
    try:
        return read(_RESPONSE, answer)
    except UNREADABLE:
        return _Response()


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """An input item, a message without the fields that only some clients repeat when they send it again."""
    if item.get("type") != "message":
        return item
    return {name: value for name, value in item.items() if name not in ("type", "id", "status")}
