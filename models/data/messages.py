"""The messages of a conversation: checking them, and what of them a model is asked with or trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from breakeven.models.client.chat import Message
from breakeven.models.client.thoughts import split_thought

_ROLES = ("system", "developer", "user", "assistant", "tool")
# Fields of a row beside its messages with which the model is asked, as in the API.
ASKED = ("tools", "tool_choice", "parallel_tool_calls", "response_format")
_SENT = ("tool_call_id", "name")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")


def fault_of_message(message: object) -> str | None:
    """What is wrong with a decoded message, or None."""
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return f"messages: each must be an object with a role of {', '.join(_ROLES)}"
    calls, weight = message.get("tool_calls"), message.get("weight", 1)
    if calls is not None and not (isinstance(calls, list) and all(_is_call(call) for call in calls)):
        return "messages: tool_calls must be a list of objects with a function, which has a name and arguments"
    if not isinstance(message.get("content"), str) and not (calls and message.get("content") is None):
        return "messages: content must be a text"
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        return "messages: weight must be a number that is not negative"
    return None


def fault_of_fields(row: Mapping[str, Any]) -> str | None:
    """What is wrong with the fields of a row that the model is asked with, or with the row's weight; or None."""
    tools, form, weight = row.get("tools"), row.get("response_format"), row.get("weight")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(one, dict) for one in tools)):
        return "tools: must be a list of objects, as in the API"
    if form is not None and not isinstance(form, dict):
        return "response_format: must be an object, as in the API"
    if weight is None:
        return None
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        return "weight: must be a number that is not negative"
    return None


def asked(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a checked row that its model is asked with beside the messages; `tools` only if there are any."""
    return {name: row[name] for name in ASKED if row.get(name) not in (None, [])}


def sent(message: Mapping[str, Any]) -> Message:
    """A checked message as a model is asked with it: without what was thought, and arguments of calls as JSON texts."""
    made: Message = {"role": message["role"], "content": message.get("content")}
    if message["role"] == "assistant" and isinstance(made["content"], str):
        made["content"] = split_thought(made["content"])[1]
    if message.get("tool_calls"):
        made["tool_calls"] = [_call(call, _spelt) for call in message["tool_calls"]]
    return made | {name: message[name] for name in _SENT if isinstance(message.get(name), str)}


def trained(message: Mapping[str, Any]) -> Message:
    """A checked message as a chat template gets it: as `sent`, with arguments of calls decoded, as vLLM passes them to
    the template; an assistant's also with what was thought as `reasoning_content`, where there is any.
    """
    made = sent(message)
    made["content"] = made["content"] or ""
    if made.get("tool_calls"):
        made["tool_calls"] = [_call(call, _decoded) for call in made["tool_calls"]]
    if message["role"] == "assistant":
        thought = next((message[name] for name in _THOUGHTS if isinstance(message.get(name), str)), None)
        reasoning, answer = split_thought(message.get("content") or "", thought)
        # A server without a parser for reasoning may leave the blank lines after it.
        made["content"] = answer.lstrip("\r\n")
        if reasoning:
            made["reasoning_content"] = reasoning
    return made


def spelt(message: Message) -> Message:
    """A message of `trained` with the arguments of its calls as JSON texts again."""
    calls = message.get("tool_calls")
    return {**message, "tool_calls": [_call(call, _spelt) for call in calls]} if calls else message


def shown(message: Mapping[str, Any]) -> str:
    """The text of a message for people and judges, with its calls of tools as JSON."""
    calls = message.get("tool_calls")
    parts = [message.get("content") or "", json.dumps(calls, ensure_ascii=False) if calls else ""]
    return "\n".join(part for part in parts if part)


def _is_call(call: object) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return False
    return isinstance(function.get("arguments", ""), str | dict)


def _call(call: Mapping[str, Any], change: Any) -> dict[str, Any]:
    function = {"name": call["function"]["name"], "arguments": change(call["function"].get("arguments", ""))}
    return {**{name: call[name] for name in ("id", "type") if name in call}, "function": function}


def _spelt(arguments: str | dict[str, Any]) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _decoded(arguments: str) -> Any:
    try:
        value = json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments
