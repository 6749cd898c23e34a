"""Requests of the Messages API as the router reads conversations, and as session affinity compares them."""

from __future__ import annotations

from typing import Any

from breakeven.gateway.translation.blocks import is_billing
from breakeven.gateway.wire.body import Body
from breakeven.router.text import Conversation, read_chat

# What Claude Code adds to a message of the user, about files, tools and dates.
_REMINDER = "<system-reminder>"


def conversation(body: Body, messages: list[Any]) -> Conversation:
    """The conversation of a request with these `items`."""
    tools = [_tool(tool) for tool in _list(body, "tools")]
    if not body.is_null("mcp_servers") and _list(body, "mcp_servers"):
        tools.append({"type": "mcp"})
    if not body.is_null("container"):
        tools.append({"type": "code_execution"})
    seen = read_chat(messages, tools)
    if not seen.answers_tool and _ends_with_results(messages):
        seen = seen._replace(answers_tool=True)
    return seen._replace(thoughts=True) if any(map(_thinks, messages)) else seen


def items(body: Body) -> list[Any]:
    """The system prompt and the messages, in one spelling: without marks for the cache, and without the note to
    Anthropic's accounting, which both differ from turn to turn; a single text as such.

    A message that brings results of tools has the role `tool`, also where the client adds a text of its own. What
    Claude Code adds to the user's words is a message of the system's before them.
    """
    system = body.get("system", Any, "a string or an array")
    found: list[Any] = [{"role": "system", "content": _content(system)}] if system else []
    for message in _list(body, "messages"):
        found += _messages(message)
    return found


def _messages(message: Any) -> list[Any]:
    """One message, or two where there are reminders in it."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return [message]
    role, content = message.get("role"), message["content"]
    kinds = {block.get("type") for block in content if isinstance(block, dict) and isinstance(block.get("type"), str)}
    if role == "user" and "tool_result" in kinds:
        return [{"role": "tool", "content": _content(content)}]
    if role == "user" and any(map(_is_reminder, content)):
        reminders = [block for block in content if _is_reminder(block)]
        said = [block for block in content if not _is_reminder(block)]
        before = {"role": "system", "content": _content(reminders)}
        return [before, {"role": role, "content": _content(said)}] if said else [before]
    calls = {"tool_calls": True} if "tool_use" in kinds else {}
    return [{"role": role, "content": _content(content), **calls}]


def _is_reminder(block: Any) -> bool:
    text = block.get("text") if isinstance(block, dict) else None
    return isinstance(text, str) and text.startswith(_REMINDER)


def _ends_with_results(messages: list[Any]) -> bool:
    """Whether the last message is of results of tools, but for what the system says after it."""
    roles = [message.get("role") for message in messages if isinstance(message, dict)]
    return next((role for role in reversed(roles) if role != "system"), None) == "tool"


def _content(content: Any) -> Any:
    """System prompt or content in one spelling."""
    if not isinstance(content, list):
        return content
    blocks = [_plain(block) for block in content if not (isinstance(block, dict) and is_billing(block.get("text")))]
    if len(blocks) == 1 and isinstance(blocks[0], dict) and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"] if blocks[0]["type"] == "text" else blocks
    return blocks


def _plain(block: Any) -> Any:
    if isinstance(block, dict) and "cache_control" in block:
        return {name: value for name, value in block.items() if name != "cache_control"}
    return block


def _tool(tool: Any) -> Any:
    """A tool with the type `function` where the client defines it, as in the other APIs."""
    if isinstance(tool, dict) and tool.get("type") in (None, "custom"):
        return {**tool, "type": "function"}
    return tool


def _thinks(message: Any) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    blocks = content if isinstance(content, list) else []
    return any(isinstance(block, dict) and block.get("type") in ("thinking", "redacted_thinking") for block in blocks)


def _list(body: Body, name: str) -> list[Any]:
    found = body.get(name, Any, "an array")
    return found if isinstance(found, list) else []
