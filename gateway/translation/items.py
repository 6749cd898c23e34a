"""The input of /v1/responses in the form of chat completions, as far as that can express it."""

from __future__ import annotations

from typing import Any

import msgspec

Chat = dict[str, Any]

_TEXTS = frozenset({"text", "input_text", "output_text", "refusal"})
_FORMATS = ("name", "description", "schema", "strict")
_FUNCTION = ("name", "description", "parameters", "strict")


def chat_messages(items: list[Any]) -> list[Chat] | None:
    """Items as chat messages. What a model thought is left out; None where there is another item that chat completions
    do not have, such as the call of a tool that the API runs itself.
    """
    found: list[Chat] = []
    for item in items:
        if not isinstance(item, dict):
            return None
        kind = item.get("type")
        if kind == "reasoning":
            continue
        if kind == "function_call":
            _call(found, item)
        elif kind == "function_call_output":
            text = _text(item.get("output"))
            if text is None:
                return None
            found.append({"role": "tool", "tool_call_id": item.get("call_id") or "", "content": text})
        elif isinstance(item.get("role"), str) and kind in (None, "message"):
            content = _text(item.get("content"))
            # Parts that are no text stay as they are: whoever reads them can see that there is more.
            found.append({"role": item["role"], "content": item.get("content") if content is None else content})
        else:
            return None
    return found


def chat_tools(tools: Any) -> list[Chat] | None:
    """Offered tools as chat completions have them; None where one is no function."""
    found: list[Chat] = []
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict) or tool.get("type") != "function":
            return None
        function = {name: tool[name] for name in _FUNCTION if tool.get(name) is not None}
        found.append({"type": "function", "function": function})
    return found


def chat_format(text: Any) -> Chat | None:
    """The format that `text` demands, as `response_format`; None for plain text."""
    asked = text.get("format") if isinstance(text, dict) else None
    if not isinstance(asked, dict) or asked.get("type") not in ("json_object", "json_schema"):
        return None
    if asked["type"] == "json_object":
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "json_schema": {name: asked[name] for name in _FORMATS if asked.get(name) is not None},
    }


def _call(found: list[Chat], item: Chat) -> None:
    """Add a call to the message of the assistant that it belongs to."""
    given = item.get("arguments")
    arguments = given if isinstance(given, str) else msgspec.json.encode(given or {}).decode()
    call = {
        "id": item.get("call_id") or "",
        "type": "function",
        "function": {"name": item.get("name") or "", "arguments": arguments},
    }
    if not (found and found[-1]["role"] == "assistant"):
        found.append({"role": "assistant", "content": None})
    found[-1].setdefault("tool_calls", []).append(call)


def _text(content: Any) -> str | None:
    """A content as one text; None where a part of it is no text."""
    if content is None or isinstance(content, str):
        return content or ""
    texts: list[str] = []
    for part in content if isinstance(content, list) else [None]:
        if not isinstance(part, dict) or part.get("type") not in _TEXTS:
            return None
        texts.append(str(part.get("text") or part.get("refusal") or ""))
    return "".join(texts)
