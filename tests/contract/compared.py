"""One answer as each endpoint writes it, whole and streamed, for comparisons of two of them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.contract.anthropic_like import STARTED, typed
from tests.contract.client import eventually
from tests.contract.gateway import Gateway
from tests.contract.scripted import DONE, Step, answer, completion, delta, event, stream, usage_chunk

QUESTION = "What is the capital of France?"
USER = [{"role": "user", "content": QUESTION}]
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
CALLS = ({"name": "find", "arguments": '{"n": 1, "q": "a"}'}, {"name": "find", "arguments": '{"q":"b"}'})
# The same calls in another order, of their keys too.
REORDERED = ({"name": "find", "arguments": '{"q": "b"}'}, {"name": "find", "arguments": '{"q":"a","n":1.0}'})
OTHER_CALLS = (CALLS[0], {"name": "find", "arguments": '{"q":"c"}'})


def rows(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """The ledger's comparisons with their scores, once there are that many."""
    query = (
        "SELECT c.*, o.student_score, o.teacher_score, o.student_tokens, o.teacher_tokens "
        "FROM comparisons c JOIN outcomes o ON o.request = c.request ORDER BY c.at"
    )

    def read() -> list[dict[str, Any]]:
        gateway.get("/metrics")
        with contextlib.closing(sqlite3.connect(gateway.folder / "ledger.db")) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    return list(eventually(lambda: found if len(found := read()) >= count else None))


@dataclass(frozen=True)
class Api:
    """One endpoint: its path, a request, and an answer of this text or with these calls, whole or streamed."""

    path: str
    body: dict[str, Any]
    whole: Callable[[str, Sequence[dict[str, str]]], Any]
    streamed: Callable[[str, Sequence[dict[str, str]]], list[bytes]]
    config: dict[str, Any] = field(default_factory=dict)
    # What the student is asked with, where its server speaks another API.
    asked: Api | None = None

    def steps(self, text: str, calls: Sequence[dict[str, str]] = (), *, streams: bool) -> list[Step]:
        """What an upstream sends."""
        return stream(*self.streamed(text, calls)) if streams else answer(self.whole(text, calls))


def _numbered(calls: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    return [{"index": n, "id": f"c{n}", "type": "function", "function": call} for n, call in enumerate(calls)]


def _chat(text: str, calls: Sequence[dict[str, str]]) -> dict[str, Any]:
    value = completion(text)
    value["choices"][0]["message"]["reasoning_content"] = "thinking about it"
    if calls:
        value["choices"][0]["message"]["tool_calls"] = _numbered(calls)
    return value


def _chat_stream(text: str, calls: Sequence[dict[str, str]]) -> list[bytes]:
    made = [delta("", role="assistant"), delta("", reasoning_content="thinking"), delta(text[:3]), delta(text[3:])]
    for one in _numbered(calls):
        name, arguments = one["function"]["name"], one["function"]["arguments"]
        made.append(delta("", tool_calls=[{**one, "function": {"name": name, "arguments": ""}}]))
        pieces = [{"index": one["index"], "function": {"arguments": part}} for part in (arguments[:4], arguments[4:])]
        made += [delta("", tool_calls=[of]) for of in pieces]
    return [*made, delta("", finish="stop"), usage_chunk(), DONE]


def _text(text: str, _: Sequence[dict[str, str]]) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 3}
    return {"id": "c1", "object": "text_completion", "choices": [choice], "usage": usage}


def _text_stream(text: str, _: Sequence[dict[str, str]]) -> list[bytes]:
    first = {"choices": [{"index": 0, "text": text[:2], "finish_reason": None}]}
    last = {"choices": [{"index": 0, "text": text[2:], "finish_reason": "stop"}]}
    return [event(first), event(last), usage_chunk(), DONE]


def _response(text: str, calls: Sequence[dict[str, str]]) -> dict[str, Any]:
    thought = {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    made = [{"type": "function_call", "call_id": f"c{n}", **call} for n, call in enumerate(calls)]
    usage = {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
    output = [thought, *([said] if text else []), *made]
    return {"id": "resp_1", "object": "response", "status": "completed", "output": output, "usage": usage}


def _response_stream(text: str, calls: Sequence[dict[str, str]]) -> list[bytes]:
    whole = _response(text, calls)
    begun = {"type": "response.created", "response": {**whole, "output": [], "status": "in_progress"}}
    said = {"type": "response.output_text.delta", "delta": text}
    return [event(begun), event(said), event({"type": "response.completed", "response": whole})]


def _message(text: str, calls: Sequence[dict[str, str]]) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"type": "thinking", "thinking": "hm", "signature": "s"}]
    blocks += [{"type": "text", "text": text}] if text else []
    for number, call in enumerate(calls):
        given = json.loads(call["arguments"])
        blocks.append({"type": "tool_use", "id": f"t{number}", "name": call["name"], "input": given})
    usage = {"input_tokens": 10, "output_tokens": 3}
    return {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": blocks, "usage": usage}


def _message_stream(text: str, calls: Sequence[dict[str, str]]) -> list[bytes]:
    made = [STARTED, typed("content_block_start", index=0, content_block={"type": "text", "text": ""})]
    made.append(typed("content_block_delta", index=0, delta={"type": "text_delta", "text": text}))
    for number, call in enumerate(calls, 1):
        begun = {"type": "tool_use", "id": f"t{number}", "name": call["name"], "input": {}}
        made.append(typed("content_block_start", index=number, content_block=begun))
        given = {"type": "input_json_delta", "partial_json": call["arguments"]}
        made.append(typed("content_block_delta", index=number, delta=given))
    stopped = typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})
    return [*made, stopped, typed("message_stop")]


CHAT = Api("/v1/chat/completions", {"messages": USER, "tools": [TOOL]}, _chat, _chat_stream)
COMPLETIONS = Api("/v1/completions", {"prompt": QUESTION}, _text, _text_stream)
RESPONSES = Api("/v1/responses", {"input": QUESTION}, _response, _response_stream)
_MESSAGES = {"messages": USER, "max_tokens": 50, "tools": [{"name": "find", "input_schema": {"type": "object"}}]}
_NATIVE = {"student": {"messages": "native"}, "teacher": {"messages": "native"}}
MESSAGES = Api("/v1/messages", _MESSAGES, _message, _message_stream, _NATIVE)
TRANSLATED = Api("/v1/messages", _MESSAGES, _message, _message_stream, {"teacher": {"messages": "native"}}, CHAT)
ENDPOINTS = {
    "chat": CHAT, "completions": COMPLETIONS, "responses": RESPONSES, "messages": MESSAGES, "translated": TRANSLATED,
}  # fmt: skip
WITH_TOOLS = {name: api for name, api in ENDPOINTS.items() if api is not COMPLETIONS}
