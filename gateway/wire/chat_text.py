"""Conversations reduced to roles and texts, for a judge to read."""

from __future__ import annotations

from typing import Any

import msgspec

Message = dict[str, Any]
# Kinds of parts and items that are no text, as the judge is told of them.
_MEDIA = {"image_url": "image", "input_image": "image", "image": "image", "input_audio": "audio", "input_file": "file",
          "file": "file", "document": "file", "video_url": "video"}  # fmt: skip
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
_RESULTS = frozenset({"tool_result", "function_call_output", "custom_tool_call_output"})


def flattened(messages: list[Any]) -> list[Message]:
    """Chat messages, items of /v1/responses or messages of the Messages API as roles and texts.

    Calls of tools and their results are in brackets; of an image there is only `[image]`, and of what a model thought
    nothing.
    """
    found = [_message(message) for message in messages if isinstance(message, dict)]
    return [message for message in found if message is not None]


def _message(message: dict[str, Any]) -> Message | None:
    role, kind = message.get("role"), message.get("type")
    if not isinstance(role, str) and isinstance(kind, str) and kind != "message":
        text = _part(message)
        return {"role": "tool" if kind in _RESULTS else "assistant", "content": text} if text is not None else None
    texts = [_text(message.get("content"))]
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = (call.get("function") or call.get("custom")) if isinstance(call, dict) else None
        if isinstance(function, dict):
            texts.append(_called(function))
    return {"role": role if isinstance(role, str) else "user", "content": "\n".join(filter(None, texts))}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [_part(part) if isinstance(part, dict) else part for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str))


def _part(part: dict[str, Any]) -> str | None:
    """A part of a message, or an item of another kind than a message; None for what is not to be read."""
    kind = part.get("type")
    if isinstance(part.get("text"), str):
        return str(part["text"])
    if not isinstance(kind, str) or kind in _THOUGHTS:
        return None
    if kind in _MEDIA:
        return f"[{_MEDIA[kind]}]"
    if kind in _RESULTS:
        return f"[result: {_text(part.get('output', part.get('content')))}]"
    return _called(part) if kind == "tool_use" or kind.endswith("_call") else None


def _called(call: dict[str, Any]) -> str:
    given = next((call[name] for name in ("arguments", "input", "action") if call.get(name) is not None), "")
    written = given if isinstance(given, str) else msgspec.json.encode(given).decode()
    return f"[call: {call.get('name') or call.get('type')} {written}]"
