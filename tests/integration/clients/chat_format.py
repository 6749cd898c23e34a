"""Requests and answers of /v1/chat/completions for the scripted model."""

from __future__ import annotations

from typing import Any

from tests.contract.scripted import DONE, End, Head, Reset, Send, Sleep, Step, answer, event
from tests.integration.clients.reply import Reply, pieces


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def asked(body: Any) -> dict[str, Any]:
    """The fields of `Asked`."""
    messages = body["messages"]
    last = max(i for i, message in enumerate(messages) if message["role"] == "user")
    tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools") or []}
    wanted = body.get("response_format") or {}
    return {
        "text": _text(messages[last]["content"]),
        "outputs": tuple(_text(m["content"]) for m in messages[last:] if m["role"] == "tool"),
        "tools": tools,
        "must_call": body.get("tool_choice", "auto") not in ("auto", "none"),
        "schema": wanted["json_schema"]["schema"] if wanted.get("type") == "json_schema" else None,
    }


def _usage(reply: Reply) -> dict[str, Any]:
    used = reply.usage
    return {
        "prompt_tokens": used.prompt,
        "completion_tokens": used.output,
        "total_tokens": used.prompt + used.output,
        "prompt_tokens_details": {"cached_tokens": used.cached},
    }


def _head(model: str, reply: Reply, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{reply.number}", "object": kind, "created": 1_760_000_000, "model": model}


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.calls
    ]


def whole(model: str, reply: Reply) -> list[Step]:
    """An answer that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.calls:
        message["tool_calls"] = _calls(reply)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
    return answer({**_head(model, reply, "chat.completion"), "choices": [choice], "usage": _usage(reply)})


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "stop"


def stream(model: str, reply: Reply, *, whole: bool, usage: bool) -> list[Step]:
    """A stream; cut after two pieces of the text unless `whole`."""
    head = _head(model, reply, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> Step:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return Send(event({**head, "choices": [choice]}))

    steps: list[Step] = [Head(200, {"content-type": "text/event-stream"})]
    steps.append(chunk({"role": "assistant", "content": "" if reply.text else None}))
    steps += [chunk({"content": piece}) for piece in pieces(reply.text)]
    if not whole:
        return [*steps[:4], Sleep(0.2), Reset()]
    for index, call in enumerate(reply.calls):
        opening = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        steps.append(chunk({"tool_calls": [opening]}))
        for piece in pieces(call.arguments):
            steps.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    steps.append(chunk({}, _finish(reply)))
    if usage:
        steps.append(Send(event({**head, "choices": [], "usage": _usage(reply)})))
    return [*steps, Send(DONE), End()]
