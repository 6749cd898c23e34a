"""POST /v1/chat/completions and POST /v1/completions, whose streams have the same format."""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.accounting.usage import read_usage
from breakeven.gateway.endpoints.base import (
    UNFINISHED,
    Adapter,
    EventInfo,
    check_messages,
    says_something,
    unreadable,
    without_json,
)
from breakeven.gateway.endpoints.foreign import portable_messages
from breakeven.gateway.errors import RequestError
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.chat_text import Message, flattened
from breakeven.gateway.wire.lenient_json import UNREADABLE, read, read_again, read_object
from breakeven.gateway.wire.sse import Event
from breakeven.router.policy import Route
from breakeven.router.text import Conversation, read_chat, read_prompt

_FIRST_CHOICE = EventInfo(seen=(0,))
# Fields of a choice, or of its delta, that are no part of the answer.
_NO_CONTENT = frozenset(
    {"index", "role", "finish_reason", "content_filter_results", "content_filter_result", "content_filter_offsets"}
)
# What a model is given of a chat completion; the other fields say how it answers.
GIVEN = ("messages", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format")
# How OpenAI, xAI, OpenRouter and Qwen are asked to search the web beside the list of tools; a vLLM ignores all of them.
_SEARCHES = ("web_search_options", "search_parameters", "plugins", "enable_search")
# How Azure is asked to search the customer's own data, now and in its first versions.
_OWN_DATA = ("data_sources", "dataSources")
_SELDOM = frozenset({"functions", "modalities", "audio", *_SEARCHES, *_OWN_DATA})


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


class _Choices(msgspec.Struct):
    choices: list[dict[str, Any]] | None = None


_CHOICES = msgspec.json.Decoder(_Choices)


def _answers(choice: dict[str, Any]) -> bool:
    """Whether there is something of the answer in a choice of a chunk."""
    for name, value in choice.items():
        if name == "delta" and isinstance(value, dict):
            if any(says_something(part) for field, part in value.items() if field not in _NO_CONTENT):
                return True
        elif name not in _NO_CONTENT and says_something(value):
            return True
    return False


def _index(choice: _Choice) -> int:
    return choice.index if isinstance(choice.index, int) else 0


class Completions(Adapter):
    """The adapter of /v1/completions."""

    endpoint = Endpoint.COMPLETIONS
    path = "/completions"
    stream_options = True
    end_marker = b"data: [DONE]\n\n"
    limit_field = "max_tokens"

    def check(self, body: Body) -> None:
        prompt = body.get("prompt", str | list[Any], "a string or an array")
        if prompt is None and body.is_null("prompt_embeds"):
            raise RequestError(400, "'prompt' is missing.", param="prompt", code="missing_required_parameter")

    def conversation(self, body: Body) -> Conversation:
        return read_prompt(body.get("prompt", str | list[Any], "a string or an array"))

    def dialogue(self, body: Body) -> list[Message]:
        return [{"role": "user", "content": self.conversation(body).text}]

    def as_chat(self, body: Body) -> dict[str, Any] | None:
        prompt = body.get("prompt", Any, "a string or an array")
        return {"messages": [{"role": "user", "content": prompt}]} if isinstance(prompt, str) else None

    def max_output_tokens(self, body: Body) -> int | None:
        return body.integer("max_tokens")

    def choices(self, body: Body) -> int:
        prompt = body.get("prompt", Any, "a string or an array")
        # A list of prompts gets `n` choices for each; a list of numbers is one prompt as token ids.
        prompts = len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int | float) else 1
        return prompts * max(1, body.integer("n") or 1)

    def read_event(self, event: Event) -> EventInfo:
        data = event.data
        if not data or data.strip() == b"[DONE]":
            return without_json(data)
        try:
            chunk = _CHUNK.decode(data)
        except UNREADABLE:
            again = read_again(_CHUNK, data)
            if again is None:
                return unreadable(data)
            chunk = again
        choices = chunk.choices
        if chunk.error is not None:
            return EventInfo(error=chunk.error)
        if choices is None and (chunk.object == "error" or event.name == b"error"):
            return EventInfo(error=read_object(data) or {})
        if choices is not None and len(choices) == 1 and chunk.usage is None:
            only = choices[0]
            if not only.finish_reason and only.index == 0:
                return _FIRST_CHOICE
        return EventInfo(
            usage=read_usage(chunk.usage, chunk.service_tier),
            usage_only=isinstance(chunk.usage, dict) and choices == [],
            seen=tuple(_index(choice) for choice in choices or ()),
            finished=tuple(_index(choice) for choice in choices or () if choice.finish_reason not in UNFINISHED),
        )

    def has_content(self, event: Event) -> bool:
        data = event.data or b""
        try:
            choices = read(_CHOICES, data).choices
        except UNREADABLE:
            return False
        return any(map(_answers, choices or ()))

    def error_tail(self, error: RequestError, number: int) -> bytes:  # noqa: ARG002
        return b"data: %b\n\ndata: [DONE]\n\n" % error.body()


class ChatCompletions(Completions):
    """The adapter of /v1/chat/completions."""

    endpoint = Endpoint.CHAT_COMPLETIONS
    path = "/chat/completions"
    renames_limit = True
    limit_field = "max_completion_tokens"

    def check(self, body: Body) -> None:
        check_messages(body)

    def conversation(self, body: Body) -> Conversation:
        offered = body.get("tools", Any, "an array")
        if not body.has_any(_SELDOM):
            return read_chat(self.items(body), offered)
        seen = read_chat(self.items(body), offered or body.get("functions", Any, "an array"))
        outputs = _outputs(body)
        if outputs:
            seen = seen._replace(outputs=outputs)
        looked_up = _looked_up(body)
        return seen._replace(tools=True, tool_types=seen.tool_types | looked_up) if looked_up else seen

    def items(self, body: Body) -> list[Any]:
        return body.get("messages", list[Any], "an array") or []

    def dialogue(self, body: Body) -> list[Message]:
        return flattened(self.items(body))

    def as_chat(self, body: Body) -> dict[str, Any] | None:
        return {name: value for name in GIVEN if (value := body.get(name, Any, "valid")) is not None}

    def make_portable(self, body: Body, route: Route) -> bool:  # noqa: ARG002
        return body.edit("messages", portable_messages)

    def max_output_tokens(self, body: Body) -> int | None:
        newer = body.integer("max_completion_tokens")
        return newer if newer is not None else body.integer("max_tokens")

    def choices(self, body: Body) -> int:
        return max(1, body.integer("n") or 1)


def _looked_up(body: Body) -> set[str]:
    """The hosted tools that a chat completion asks for beside its list of tools."""
    found = {"web_search"} if _searches(body) else set()
    return found | {"file_search"} if any(body.get(name, Any, "an array") for name in _OWN_DATA) else found


def _searches(body: Body) -> bool:
    """Whether a chat completion asks the API to search the web."""
    options, parameters, plugins, enabled = (body.get(name, Any, "valid") for name in _SEARCHES)
    off = parameters is None or (isinstance(parameters, dict) and parameters.get("mode") == "off")
    return options is not None or not off or bool(plugins) or enabled is True


def _outputs(body: Body) -> frozenset[str] | None:
    """The kinds of output that a chat completion asks for; None where it names none."""
    named = body.get("modalities", Any, "an array")
    kinds = {kind for kind in named if isinstance(kind, str)} if isinstance(named, list) else set()
    if body.get("audio", Any, "an object") is not None:
        kinds.add("audio")
    return frozenset(kinds) or None
