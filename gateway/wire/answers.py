"""The answer in an upstream's bytes, whole or streamed: its text and calls of tools, apart from its reasoning.

Read by shape from chat completions, completions, responses and messages.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from breakeven.gateway.wire.call_numbers import CallNumbers
from breakeven.gateway.wire.lenient_json import read_object
from breakeven.gateway.wire.sse import Scanner

# What a server without a parser for reasoning leaves in the text.
_THOUGHT, _END_OF_THOUGHT = "<think>", "</think>"
# Where items of /v1/responses that call something hold what they pass on.
_ARGUMENTS = ("arguments", "input", "action", "operation", "code")
_ENDINGS = frozenset({"response.completed", "response.incomplete"})


# Why an answer ended, as other APIs say it, in the words of chat completions.
_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_context_window_exceeded": "length",
    "incomplete": "length",
    "refusal": "content_filter",
}


class Call(NamedTuple):
    """A call of a tool: its name and arguments, mostly JSON."""

    name: str
    arguments: str


class Answer(NamedTuple):
    """What a client gets of one answer; both may be empty."""

    text: str = ""
    calls: tuple[Call, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is neither text nor a call."""
        return not (self.text.strip() or self.calls)


class Whole(NamedTuple):
    """All that a model wrote for one answer: what the client gets, its reasoning where it is shown, and why it ended in
    the words of chat completions (`stop`, `tool_calls`, `length`, `content_filter`), empty if that is not said.
    """

    answer: Answer
    reasoning: str
    finish: str


def read_answer(data: bytes) -> Answer | None:
    """The answer in the JSON of a response or in the events of a stream; None for several choices or anything else."""
    found = read_whole(data)
    return None if found is None else found.answer


def read_whole(data: bytes) -> Whole | None:
    """The answer as `read_answer` finds it, with its reasoning and its end."""
    found = _Found()
    if data.lstrip()[:1] == b"{":
        found.whole(read_object(data) or {})
    else:
        scanner = Scanner()
        for event in (*scanner.feed(data), scanner.flush()):
            if event is not None and event.data:
                found.event(read_object(event.data) or {})
    return found.found()


def without_thought(text: str) -> str:
    """A text without the reasoning that it begins with, if it is marked as such."""
    if _END_OF_THOUGHT not in text:
        return "" if text.lstrip().startswith(_THOUGHT) else text
    before, _, after = text.partition(_END_OF_THOUGHT)
    # The prompt may have opened it.
    return after.lstrip() if _THOUGHT not in before or before.lstrip().startswith(_THOUGHT) else text


def _marked_thought(written: str, text: str) -> str:
    """The reasoning that `without_thought` has left out of a text."""
    if written == text:
        return ""
    before, _, _ = written.partition(_END_OF_THOUGHT)
    return before.lstrip().removeprefix(_THOUGHT).strip()


class _Found:
    """What is found so far."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._finish = ""
        # Names and arguments of calls by their place in the answer.
        self._calls: dict[object, list[str]] = {}
        self._numbers = CallNumbers()
        self._output: list[Any] = []
        self._items: list[Any] = []
        self._known = False
        self._several = False

    def found(self) -> Whole | None:
        """All of it; None where there was no answer that could be read."""
        # The last event of a response has all of it; some servers leave that out.
        for number, item in enumerate(self._output or self._items):
            if isinstance(item, dict):
                self._item(number, item)
        if self._several or not self._known:
            return None
        written = "".join(self._texts)
        text = without_thought(written)
        calls = tuple(Call(*call) for call in self._calls.values())
        thoughts = "".join(self._thoughts) or _marked_thought(written, text)
        return Whole(Answer(text, calls), thoughts, _FINISHES.get(self._finish, self._finish))

    def whole(self, value: dict[str, Any]) -> None:
        """Read a whole answer."""
        if isinstance(value.get("output"), list):
            self._known, self._output = True, value["output"]
            self._end_of_response(value)
        elif value.get("type") == "message" and isinstance(value.get("content"), list):
            self._known = True
            self._ends(value.get("stop_reason"))
            for number, block in enumerate(value["content"]):
                self._block(number, block)
        else:
            self._choices(value)

    def event(self, value: dict[str, Any]) -> None:
        """Read one event of a stream."""
        kind = value.get("type")
        if not isinstance(kind, str):
            self._choices(value)
        elif kind in _ENDINGS:
            response = value.get("response")
            output = response.get("output") if isinstance(response, dict) else None
            self._end_of_response(response if isinstance(response, dict) else {})
            self._known, self._output = True, output if isinstance(output, list) else []
        elif kind == "response.output_item.done":
            self._items.append(value.get("item"))
        elif kind == "message_start":
            self._known = True
        elif kind == "content_block_start":
            self._block(value.get("index"), value.get("content_block"))
        elif kind == "content_block_delta":
            self._delta(value.get("index"), value.get("delta"))
        elif kind == "message_delta" and isinstance(value.get("delta"), dict):
            self._ends(value["delta"].get("stop_reason"))

    def _ends(self, why: Any) -> None:
        if isinstance(why, str) and why not in ("", "null"):
            self._finish = why

    def _end_of_response(self, response: dict[str, Any]) -> None:
        details = response.get("incomplete_details")
        self._ends(response.get("status"))
        if isinstance(details, dict):
            self._ends(details.get("reason"))

    def _choices(self, value: dict[str, Any]) -> None:
        choices = value.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            self._known = True
            self._several = self._several or choice.get("index") not in (0, None)
            self._ends(choice.get("finish_reason"))
            self._text(choice.get("text"))
            for name in ("message", "delta"):
                if isinstance(choice.get(name), dict):
                    self._message(choice[name], streamed=name == "delta")

    def _message(self, message: dict[str, Any], *, streamed: bool) -> None:
        self._text(message.get("content"), message.get("refusal"))
        # Some servers send the reasoning under both names.
        self._thought(message.get("reasoning_content") or message.get("reasoning"))
        calls = message.get("tool_calls")
        for number, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                place = self._place(call) if streamed else number
                self._function(place, call.get("function") or call.get("custom"))
        self._function("function_call", message.get("function_call"))

    def _place(self, call: dict[str, Any]) -> int:
        """Where a piece of a call belongs."""
        function = call.get("function") or call.get("custom")
        id, name = call.get("id"), function.get("name") if isinstance(function, dict) else None
        return self._numbers.of(call.get("index"), *(one if isinstance(one, str) else "" for one in (id, name)))

    def _function(self, place: object, function: Any) -> None:
        if isinstance(function, dict):
            self._call(place, function.get("name"), function.get("arguments"), function.get("input"))

    def _block(self, number: object, block: Any) -> None:
        """A content block of a message, or its beginning."""
        if not isinstance(block, dict):
            return
        if block.get("type") == "text":
            self._text(block.get("text"))
        elif block.get("type") == "thinking":
            self._thought(block.get("thinking"))
        elif block.get("type") == "tool_use":
            given = block.get("input")
            self._call(number, block.get("name"), _json(given) if given else None)

    def _delta(self, number: object, delta: Any) -> None:
        if isinstance(delta, dict):
            self._text(delta.get("text"))
            self._thought(delta.get("thinking"))
            if delta.get("type") == "input_json_delta":
                self._call(number, None, delta.get("partial_json"))

    def _item(self, number: object, item: dict[str, Any]) -> None:
        """One item of the output of a response; an event without the ending says the same of its item."""
        self._known = True
        kind = item.get("type")
        if kind == "message":
            parts = item.get("content")
            for part in parts if isinstance(parts, list) else ():
                if isinstance(part, dict):
                    self._text(part.get("text"), part.get("refusal"))
        elif kind == "reasoning":
            for name in ("content", "summary"):
                parts = item.get(name)
                for part in parts if isinstance(parts, list) else ():
                    self._thought(part.get("text") if isinstance(part, dict) else None)
        elif isinstance(kind, str) and kind.endswith("_call"):
            given = next((item[name] for name in _ARGUMENTS if item.get(name) is not None), "")
            self._call(number, item.get("name") or kind, given if isinstance(given, str) else _json(given))

    def _thought(self, value: Any) -> None:
        if isinstance(value, str):
            self._thoughts.append(value)

    def _text(self, *values: Any) -> None:
        for value in values:
            if isinstance(value, str):
                self._texts.append(value)
            elif isinstance(value, list):
                # Some servers send content as parts.
                self._text(*(part.get("text") for part in value if isinstance(part, dict)))

    def _call(self, place: object, name: Any, *arguments: Any) -> None:
        call = self._calls.setdefault(str(place), ["", ""])
        call[0] = call[0] or (name if isinstance(name, str) else "")
        # Some servers send an object, and not its text.
        call[1] += "".join(
            _json(one) if isinstance(one, dict) else one for one in arguments if isinstance(one, str | dict)
        )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
