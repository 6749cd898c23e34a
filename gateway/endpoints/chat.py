"""POST /v1/chat/completions and POST /v1/completions, whose streams have the same format."""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.accounting.usage import read_usage
from breakeven.gateway.endpoints.base import CONTENT, Adapter, EventInfo, without_json
from breakeven.gateway.endpoints.foreign import messages_without_thoughts
from breakeven.gateway.errors import RequestError
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.sse import Event
from breakeven.router.policy import Route
from breakeven.router.text import Conversation, read_chat, read_prompt

_FIRST_CHOICE = EventInfo(seen=(0,))
_SELDOM = frozenset({"functions", "modalities", "audio", "web_search_options"})


class _Choice(msgspec.Struct):
    index: Any = 0
    finish_reason: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    service_tier: Any = None
    error: Any = None
    object: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)


def _index(choice: _Choice) -> int:
    return choice.index if isinstance(choice.index, int) else 0


class Completions(Adapter):
    """The adapter of /v1/completions."""

    endpoint = Endpoint.COMPLETIONS
    path = "/completions"
    stream_options = True

    def check(self, body: Body) -> None:
        if body.get("prompt", str | list[Any], "a string or an array") is None:
            raise RequestError(400, "'prompt' is missing.", param="prompt", code="missing_required_parameter")

    def conversation(self, body: Body) -> Conversation:
        return read_prompt(body.get("prompt", str | list[Any], "a string or an array"))

    def max_output_tokens(self, body: Body) -> int | None:
        return body.get("max_tokens", int, "an integer")

    def choices(self, body: Body) -> int:
        prompt = body.get("prompt", Any, "a string or an array")
        # A list of prompts gets `n` choices for each; a list of integers is one prompt as token ids.
        prompts = len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1
        return prompts * (body.get("n", int, "an integer") or 1)

    def read_event(self, event: Event) -> EventInfo:
        data = event.data
        if not data or data.strip() == b"[DONE]":
            return without_json(data)
        try:
            chunk = _CHUNK.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return CONTENT
        choices = chunk.choices
        if chunk.error is not None:
            return EventInfo(error=chunk.error)
        if choices is None and chunk.object == "error":
            return EventInfo(error=msgspec.json.decode(data))
        if choices is not None and len(choices) == 1 and chunk.usage is None:
            only = choices[0]
            if only.finish_reason is None and only.index == 0:
                return _FIRST_CHOICE
        return EventInfo(
            usage=read_usage(chunk.usage, chunk.service_tier),
            usage_only=isinstance(chunk.usage, dict) and choices == [],
            seen=tuple(_index(choice) for choice in choices or ()),
            finished=tuple(_index(choice) for choice in choices or () if choice.finish_reason is not None),
        )

    def error_tail(self, error: bytes) -> bytes:
        return b"data: %b\n\ndata: [DONE]\n\n" % error


class ChatCompletions(Completions):
    """The adapter of /v1/chat/completions."""

    endpoint = Endpoint.CHAT_COMPLETIONS
    path = "/chat/completions"
    renames_limit = True

    def check(self, body: Body) -> None:
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

    def conversation(self, body: Body) -> Conversation:
        offered = body.get("tools", Any, "an array")
        if not body.has_any(_SELDOM):
            return read_chat(self.items(body), offered)
        seen = read_chat(self.items(body), offered or body.get("functions", Any, "an array"))
        outputs = _outputs(body)
        if outputs:
            seen = seen._replace(outputs=outputs)
        if body.get("web_search_options", Any, "an object") is not None:
            seen = seen._replace(tools=True, tool_types=seen.tool_types | {"web_search"})
        return seen

    def items(self, body: Body) -> list[Any]:
        return body.get("messages", list[Any], "an array") or []

    def remove_thoughts(self, body: Body, route: Route) -> bool:  # noqa: ARG002
        return body.edit("messages", messages_without_thoughts)

    def max_output_tokens(self, body: Body) -> int | None:
        newer = body.get("max_completion_tokens", int, "an integer")
        older = body.get("max_tokens", int, "an integer")
        return newer if newer is not None else older

    def choices(self, body: Body) -> int:
        return body.get("n", int, "an integer") or 1


def _outputs(body: Body) -> frozenset[str] | None:
    """The kinds of output that a chat completion asks for; None where it names none."""
    named = body.get("modalities", Any, "an array")
    kinds = {kind for kind in named if isinstance(kind, str)} if isinstance(named, list) else set()
    if body.get("audio", Any, "an object") is not None:
        kinds.add("audio")
    return frozenset(kinds) or None
