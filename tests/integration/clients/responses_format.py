"""Requests and answers of /v1/responses for the scripted model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from tests.contract.scripted import End, Head, Reset, Send, Sleep, Step, answer, event
from tests.integration.clients.reply import Call, Reply, pieces


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def asked(body: Any) -> dict[str, Any]:
    """The fields of `Asked`."""
    items = body["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    last = max(i for i, item in enumerate(items) if item.get("role") == "user")
    wanted = (body.get("text") or {}).get("format") or {}
    outputs = [item for item in items[last:] if item.get("type", "").endswith("_call_output")]
    return {
        "text": _text(items[last]["content"]),
        "outputs": tuple(_text(item["output"]) for item in outputs),
        "tools": {tool["name"]: tool["parameters"] for tool in body.get("tools") or [] if tool["type"] == "function"},
        "must_call": body.get("tool_choice", "auto") not in ("auto", "none"),
        "schema": wanted["schema"] if wanted.get("type") == "json_schema" else None,
    }


def _response(model: str, reply: Reply, status: str, output: list[Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": f"resp_{model}_{reply.number}",
        "object": "response",
        "created_at": 1_760_000_000,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
        **fields,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(reply: Reply, status: str, content: list[Any]) -> dict[str, Any]:
    return {"id": f"msg_{reply.number}", "type": "message", "role": "assistant", "status": status, "content": content}


def _call(call: Call, status: str, arguments: str) -> dict[str, Any]:
    head = {"id": f"fc_{call.id}", "type": "function_call", "status": status}
    return {**head, "call_id": call.id, "name": call.name, "arguments": arguments}


def _output(reply: Reply) -> list[Any]:
    calls = [_call(call, "completed", call.arguments) for call in reply.calls]
    return calls or [_message(reply, "completed", [_part(reply.text)])]


def _usage(reply: Reply) -> dict[str, Any]:
    used = reply.usage
    return {
        "input_tokens": used.prompt,
        "input_tokens_details": {"cached_tokens": used.cached},
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used.prompt + used.output,
    }


def whole(model: str, reply: Reply) -> list[Step]:
    """An answer that is not streamed."""
    return answer(_response(model, reply, "completed", _output(reply), usage=_usage(reply)))


def stream(model: str, reply: Reply, *, whole: bool, usage: bool) -> list[Step]:
    """A stream of typed events; cut after two pieces of the text unless `whole`."""
    numbers = itertools.count()
    events = [
        Send(f"event: {kind}\n".encode() + event({"type": kind, "sequence_number": next(numbers), **fields}))
        for kind, fields in _events(model, reply)
    ]
    head = Head(200, {"content-type": "text/event-stream"})
    return [head, *events, End()] if whole else [head, *events[:6], Sleep(0.2), Reset()]


def _events(model: str, reply: Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    begun = _response(model, reply, "in_progress", [])
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    yield from _call_events(reply) if reply.calls else _message_events(reply)
    done = _response(model, reply, "completed", _output(reply), usage=_usage(reply))
    yield "response.completed", {"response": done}


def _message_events(reply: Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "response.output_item.added", {"output_index": 0, "item": _message(reply, "in_progress", [])}
    place = {"item_id": f"msg_{reply.number}", "output_index": 0, "content_index": 0}
    yield "response.content_part.added", {**place, "part": _part("")}
    for piece in pieces(reply.text):
        yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**place, "text": reply.text, "logprobs": []}
    yield "response.content_part.done", {**place, "part": _part(reply.text)}
    yield "response.output_item.done", {"output_index": 0, "item": _output(reply)[0]}


def _call_events(reply: Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, call in enumerate(reply.calls):
        place = {"item_id": f"fc_{call.id}", "output_index": index}
        yield "response.output_item.added", {"output_index": index, "item": _call(call, "in_progress", "")}
        for piece in pieces(call.arguments):
            yield "response.function_call_arguments.delta", {**place, "delta": piece}
        yield "response.function_call_arguments.done", {**place, "name": call.name, "arguments": call.arguments}
        yield "response.output_item.done", {"output_index": index, "item": _call(call, "completed", call.arguments)}
