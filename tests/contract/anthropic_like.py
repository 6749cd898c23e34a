"""Answers, streams and errors as Anthropic's Messages API sends them, and the events of an answer of the gateway."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.client import Response
from tests.contract.scripted import Step, answer, stream

MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
# 3 + 100 + 20 + 30 prompt tokens, of which 100 were read from a cache and 50 written to one, 30 of these for an hour.
USAGE = {
    "input_tokens": 3,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 50,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
    "output_tokens": 7,
    "service_tier": "standard",
}
ERROR_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    405: "invalid_request_error", 413: "request_too_large", 415: "invalid_request_error", 429: "rate_limit_error",
    500: "api_error", 502: "api_error", 503: "api_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


def asked(text: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "max_tokens": 64, "messages": [{"role": "user", "content": text}], **fields}


def message(*content: dict[str, Any], stop: str = "end_turn", usage: object = None) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "big",
        "content": list(content) or [{"type": "text", "text": "hello"}],
        "stop_reason": stop, "stop_sequence": None, "usage": USAGE if usage is None else usage,
    }  # fmt: skip


def typed(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


STARTED = typed("message_start", message={**message(usage={**USAGE, "output_tokens": 1}), "content": []})
PING = typed("ping")
BLOCK = typed("content_block_start", index=0, content_block={"type": "text", "text": ""})
BLOCK_END = typed("content_block_stop", index=0)
STOP = typed("message_stop")


def piece(text: str) -> bytes:
    return typed("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def ended(stop: str = "end_turn", **usage: int) -> bytes:
    delta = {"stop_reason": stop, "stop_sequence": None}
    return typed("message_delta", delta=delta, usage=usage or {"output_tokens": 7})


WHOLE_STREAM = (STARTED, PING, BLOCK, piece("hel"), piece("lo"), BLOCK_END, ended(), STOP)


def message_stream(*segments: bytes) -> list[Step]:
    return stream(*(segments or WHOLE_STREAM))


def refusal(status: int, text: str = "no", **headers: str) -> list[Step]:
    body = {"type": "error", "error": {"type": ERROR_TYPES[status], "message": text}, "request_id": "req_1"}
    return answer(body, status, **headers)


def error_of(response: Response) -> str:
    """The message of an error, whose shape and type are checked."""
    body = response.json
    assert "application/json" in response.headers["content-type"]
    assert body["type"] == "error"
    assert set(body) == {"type", "error"}
    assert set(body["error"]) == {"type", "message"}
    assert body["error"]["type"] == ERROR_TYPES[response.status], body
    return str(body["error"]["message"])


def events(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream, whose names are checked against their types."""
    found = []
    for raw in body.split(b"\n\n")[:-1]:
        if raw.startswith(b":"):
            continue
        name, data = raw.split(b"\n")
        value = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + value["type"].encode()
        found.append(value)
    return found


def assembled(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a stream's events make, which have to come in the order of the API."""
    assert found[0]["type"] == "message_start"
    assert found[-1]["type"] == "message_stop"
    assert found[-2]["type"] == "message_delta"
    whole = dict(found[0]["message"])
    blocks: list[dict[str, Any]] = []
    open_block: int | None = None
    for one in found[1:-2]:
        if one["type"] == "content_block_start":
            assert open_block is None
            assert one["index"] == len(blocks)
            open_block = one["index"]
            blocks.append({**one["content_block"], "json": ""})
        elif one["type"] == "content_block_delta":
            assert one["index"] == open_block
            delta = one["delta"]
            field = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "json"}[delta["type"]]
            blocks[-1][field] += delta[{"json": "partial_json"}.get(field, field)]
        elif one["type"] == "content_block_stop":
            assert one["index"] == open_block
            open_block = None
        else:
            assert one["type"] == "ping"
    assert open_block is None
    for block in blocks:
        text = block.pop("json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(text or "{}")
    return {**whole, **found[-2]["delta"], "content": blocks, "usage": found[-2]["usage"]}
