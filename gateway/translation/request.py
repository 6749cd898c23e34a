"""A request of the Messages API as one of chat completions.

Values that both APIs have, such as schemas and the inputs of calls, are kept byte for byte. What says only how the
answer is to be served or cached is left out: cache_control, metadata, service_tier, thinking and effort, top_k for an
API that is not one's own server.
"""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.translation.blocks import (
    Block,
    Message,
    Tool,
    ToolChange,
    ToolChoice,
    field,
    is_billing,
    refused,
)
from breakeven.gateway.wire.body import Body

Chat = dict[str, Any]

# Fields that mean the same in both APIs, by their names there and here.
_SAME = {
    "max_tokens": "max_tokens",
    "stop_sequences": "stop",
    "temperature": "temperature",
    "top_p": "top_p",
    "stream": "stream",
}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_CHANGES = {"tool_addition": "is available", "tool_removal": "is no longer available"}
_PARAGRAPH = "\n\n"
_IN_THE_NEXT = "(An image, in the next message.)"


def chat_request(body: Body, *, top_k: bool) -> Body:
    """The request for chat completions. `top_k`: the upstream takes this field.

    Raises Untranslatable for what chat completions cannot express, RequestError 400 for what is no valid request.
    """
    messages: list[Message] = field(body, "messages", list[Message]) or []
    fields: Chat = {"model": "", "messages": _messages(body, messages)}
    for theirs, ours in _SAME.items():
        if not body.is_null(theirs):
            fields[ours] = body.get(theirs, msgspec.Raw, "valid")
    if top_k and not body.is_null("top_k"):
        fields["top_k"] = body.get("top_k", msgspec.Raw, "valid")
    tools = [*(field(body, "tools", list[Tool]) or ()), *_added(messages)]
    if tools:
        fields["tools"] = [_function(tool) for tool in tools]
        fields.update(_choice(field(body, "tool_choice", ToolChoice)))
    if field(body, "mcp_servers", list[Any]):
        raise refused("MCP servers", "mcp_servers")
    if not body.is_null("container"):
        raise refused("a container", "container")
    if schema := answer_schema(body):
        named = {"name": "answer", "schema": schema, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": named}
    return Body(msgspec.json.encode(fields))


def _added(messages: list[Message]) -> list[Tool]:
    """The tools that the conversation has added since it began."""
    blocks = [block for message in messages if isinstance(message.content, list) for block in message.content]
    return [block.tool.definition for block in blocks if block.tool is not None and block.tool.definition is not None]


def _messages(body: Body, messages: list[Message]) -> list[Chat]:
    found: list[Chat] = []
    system = field(body, "system", str | list[Block])
    if system:
        found += _system(system)
    if messages and messages[-1].role == "assistant":
        raise refused("a last message of the assistant, for the model to go on with", "messages")
    for message in messages:
        if message.role == "system":
            found += _system(message.content)
        elif isinstance(message.content, str):
            found.append({"role": message.role, "content": message.content})
        elif message.role == "assistant":
            found.append(_answer(message.content))
        else:
            found += _asked(message.content)
    return found


def _system(content: str | list[Block]) -> list[Chat]:
    if isinstance(content, list):
        content = _PARAGRAPH.join(_text(block) for block in content if not is_billing(block.text))
    return [{"role": "system", "content": content}] if content else []


def _answer(blocks: list[Block]) -> Chat:
    """A message of the assistant: what it thought is left out, since its signature is for the API that made it."""
    texts: list[str] = []
    calls: list[Chat] = []
    for block in blocks:
        if block.type == "tool_use":
            function = {"name": block.name or "", "arguments": bytes(block.input).decode()}
            calls.append({"id": block.id or "", "type": "function", "function": function})
        elif block.type not in ("thinking", "redacted_thinking"):
            texts.append(_text(block))
    text = _PARAGRAPH.join(texts)
    if not calls:
        return {"role": "assistant", "content": text}
    return {"role": "assistant", "content": text or None, "tool_calls": calls}


def _asked(blocks: list[Block]) -> list[Chat]:
    """A message of the user. Results of tools come first, as they must follow the calls; their images after these,
    since a tool's message cannot hold any.
    """
    found: list[Chat] = []
    parts: list[Chat] = []
    for block in blocks:
        if block.type == "tool_result":
            text, images = _result(block)
            found.append({"role": "tool", "tool_call_id": block.tool_use_id or "", "content": text})
            parts += images
    parts += [_part(block) for block in blocks if block.type != "tool_result"]
    if not parts:
        return found
    if all(part["type"] == "text" for part in parts):
        return [*found, {"role": "user", "content": _PARAGRAPH.join(part["text"] for part in parts)}]
    return [*found, {"role": "user", "content": parts}]


def _result(block: Block) -> tuple[str, list[Chat]]:
    """The text of a tool's result, and the images in it."""
    if isinstance(block.content, list):
        parts = [_part(one) for one in block.content]
        images = [part for part in parts if part["type"] != "text"]
        text = _PARAGRAPH.join(part["text"] for part in parts if part["type"] == "text") or (
            _IN_THE_NEXT if images else ""
        )
    else:
        images, text = [], block.content if isinstance(block.content, str) else ""
    # The other API has no flag for it.
    return (f"Error: {text}" if block.is_error else text), images


def _part(block: Block) -> Chat:
    """A part of a user's message, or of a tool's result."""
    if block.type == "image":
        return {"type": "image_url", "image_url": {"url": _image(block.source or {})}}
    return {"type": "text", "text": _text(block)}


def _image(source: dict[str, Any]) -> str:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        return str(source["url"])
    raise refused("an image that is stored by its id", "messages")


def _text(block: Block) -> str:
    """The text of a block. Raises Untranslatable for one that is no text."""
    if block.type == "text":
        return block.text or ""
    if block.type == "tool_reference":
        return f"The tool {block.tool_name or block.name} is available."
    if block.type in _CHANGES:
        return f"The tool {_changed(block.tool)} {_CHANGES[block.type]}."
    source = block.source or {}
    if block.type == "document" and source.get("type") == "text" and not _cited(block.citations):
        return str(source.get("data") or "")
    names = {"document": "a document", "search_result": "search results that are cited"}
    raise refused(names.get(block.type, "a content block of a type that only this API has"), "messages")


def _changed(tool: ToolChange | None) -> str:
    if tool is None:
        return ""
    return (tool.definition.name if tool.definition is not None else tool.name) or ""


def _cited(citations: object) -> bool:
    return isinstance(citations, dict) and citations.get("enabled") is True


def _function(tool: Tool) -> Chat:
    if tool.type not in (None, "custom"):
        raise refused("a tool that this API provides or defines itself", "tools")
    function: Chat = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice | None) -> Chat:
    if choice is None:
        return {}
    chosen: object = _CHOICES.get(choice.type, "auto")
    if choice.type == "tool":
        chosen = {"type": "function", "function": {"name": choice.name}}
    found: Chat = {"tool_choice": chosen}
    return {**found, "parallel_tool_calls": False} if choice.disable_parallel_tool_use else found


def answer_schema(body: Body) -> Any:
    """The JSON schema that the answer has to follow; None without one."""
    output = field(body, "output_config", dict[str, Any]) or {}
    wanted = output.get("format") or field(body, "output_format", dict[str, Any]) or {}
    return wanted.get("schema") if isinstance(wanted, dict) and wanted.get("type") == "json_schema" else None


def wants_thinking(body: Body) -> bool:
    """Whether the client asked to see what the model thinks."""
    thinking = body.get("thinking", Any, "an object")
    if not isinstance(thinking, dict):
        return False
    return thinking.get("type") in ("enabled", "adaptive") and thinking.get("display") != "omitted"
