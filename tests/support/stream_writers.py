"""The events of each API as lines, made from a generator of random numbers."""

from __future__ import annotations

import json
import random
from typing import Any, Protocol

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
MESSAGES = "/v1/messages"
# Whose streams have a type in every event, and end with one of them, not with `[DONE]`.
TYPED = (RESPONSES, MESSAGES)
_TEXTS = ["a", " ", "né", "漢字", "🙂", "data: x", "line\nbreak", '"quoted" \\', "[DONE]", "\u2028", "NaN"]


def _data(rng: random.Random, value: object) -> str:
    """JSON as the data of an event, sometimes over several lines."""
    space = rng.choice(["", " "])
    if rng.random() < 0.1:
        return "\n".join(f"data:{space}{line}" for line in json.dumps(value, indent=1).split("\n"))
    return f"data:{space}{json.dumps(value, ensure_ascii=rng.random() < 0.5)}"


class Writer(Protocol):
    """The events of one API. `status`: of the response where its error comes first."""

    status: int

    def beginning(self) -> list[str]: ...
    def content(self) -> str: ...
    def finish(self) -> list[str]: ...
    def tail(self) -> list[str]: ...
    def error(self) -> str: ...
    def marker(self) -> list[str]: ...
    def after_error(self) -> list[str]: ...


class _Chunks:
    """Events of chat completions and completions."""

    status = 503

    def __init__(self, rng: random.Random, usage: tuple[int, int] | None, *, chat: bool) -> None:
        self._rng = rng
        self._chat = chat
        self._usage = usage

    def _chunk(self, text: str | None, finish: str | None = None) -> str:
        part = {"delta": {} if text is None else {"content": text}} if self._chat else {"text": text or ""}
        return _data(self._rng, {"id": "c", "choices": [{"index": 0, **part, "finish_reason": finish}]})

    def beginning(self) -> list[str]:
        role = _data(self._rng, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        azure = _data(self._rng, {"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
        return self._rng.choices([role, azure, ": ping", "event: ping\ndata: {}"], k=self._rng.randrange(4))

    def content(self) -> str:
        return self._chunk(self._rng.choice(_TEXTS), self._rng.choice([None, None, ""]))

    def finish(self) -> list[str]:
        return [self._chunk(None, self._rng.choice(["stop", "length", "tool_calls"])), *self.tail()]

    def tail(self) -> list[str]:
        if self._usage is None:
            return []
        prompt, output = self._usage
        last = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        chunks = (
            [last] if self._rng.random() < 0.8 else [{**last, "completion_tokens": 0, "total_tokens": prompt}, last]
        )
        return [_data(self._rng, {"id": "c", "choices": [], "usage": usage}) for usage in chunks]

    def error(self) -> str:
        return _data(self._rng, {"error": {"message": "died", "type": "x", "param": None, "code": 503}})

    def marker(self) -> list[str]:
        return [self._rng.choice(["data: [DONE]", "data:[DONE]"])]

    def after_error(self) -> list[str]:
        return self.marker()


class _Responses:
    """Events of responses."""

    status = 503

    def __init__(self, rng: random.Random, usage: tuple[int, int] | None) -> None:
        self._rng = rng
        self._usage = usage

    def _typed(self, kind: str, **fields: Any) -> str:
        data = _data(self._rng, {"type": kind, **fields})
        return f"event: {kind}\n{data}" if self._rng.random() < 0.8 else data

    def beginning(self) -> list[str]:
        response = {"id": "r", "output": [], "usage": None}
        events = [self._typed("response.created", response=response), ": ping"]
        return [*events[: self._rng.randrange(3)], self._typed("response.in_progress", response=response)]

    def content(self) -> str:
        return self._typed("response.output_text.delta", delta=self._rng.choice(_TEXTS))

    def finish(self) -> list[str]:
        usage = None
        if self._usage is not None:
            usage = {"input_tokens": self._usage[0], "output_tokens": self._usage[1], "total_tokens": sum(self._usage)}
        kind = self._rng.choice(["completed", "incomplete"])
        return [self._typed(f"response.{kind}", response={"id": "r", "status": kind, "output": [], "usage": usage})]

    def tail(self) -> list[str]:
        return []

    def error(self) -> str:
        return self._typed("error", code="503", message="died", param=None)

    def marker(self) -> list[str]:
        return []

    def after_error(self) -> list[str]:
        return []


class _Messages:
    """Events of messages, which say the tokens of the prompt when they begin and those of the answer at their end."""

    status = 529

    def __init__(self, rng: random.Random, usage: tuple[int, int] | None) -> None:
        self._rng = rng
        self._usage = usage
        # Others than Anthropic say all counts in both places, or only at the end.
        self._begins, self._repeats = rng.choice([(True, False), (True, False), (True, True), (False, True)])

    def _typed(self, kind: str, **fields: Any) -> str:
        data = _data(self._rng, {"type": kind, **fields})
        return f"event: {kind}\n{data}" if self._rng.random() < 0.8 else data

    def beginning(self) -> list[str]:
        usage = {"input_tokens": self._usage[0], "output_tokens": 1} if self._usage and self._begins else None
        message = {"id": "m", "type": "message", "role": "assistant", "content": [], "stop_reason": None}
        started = self._typed("message_start", message={**message, "usage": usage})
        block = self._typed("content_block_start", index=0, content_block={"type": "text", "text": ""})
        return [started, *self._rng.choices([": ping", self._typed("ping"), block], k=self._rng.randrange(3))]

    def content(self) -> str:
        kinds = [("text_delta", "text"), ("thinking_delta", "thinking"), ("input_json_delta", "partial_json")]
        kind, name = self._rng.choice(kinds)
        delta = {"type": kind, name: self._rng.choice(_TEXTS)}
        return self._typed("content_block_delta", index=0, delta=delta)

    def finish(self) -> list[str]:
        usage = None
        if self._usage is not None:
            usage = {"output_tokens": self._usage[1]}
            if self._repeats:
                usage = {"input_tokens": self._usage[0], **usage}
        delta = {"stop_reason": self._rng.choice(["end_turn", "max_tokens", "tool_use"]), "stop_sequence": None}
        return [self._typed("content_block_stop", index=0), self._typed("message_delta", delta=delta, usage=usage)]

    def tail(self) -> list[str]:
        return []

    def error(self) -> str:
        return self._typed("error", error={"type": "overloaded_error", "message": "died"})

    def marker(self) -> list[str]:
        return [self._typed("message_stop")]

    def after_error(self) -> list[str]:
        return []


def writer(rng: random.Random, path: str, usage: tuple[int, int] | None) -> Writer:
    """What writes the events of the API at this path. `usage`: tokens of prompt and answer, None to report none."""
    if path == MESSAGES:
        return _Messages(rng, usage)
    return _Responses(rng, usage) if path == RESPONSES else _Chunks(rng, usage, chat=path == CHAT)
