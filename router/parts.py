"""What the messages and items of a request are made of: text, size, media, calls, and state that an upstream holds.

Never raises for values decoded from JSON, and takes bounded time: values of an unexpected type are skipped.
"""

from __future__ import annotations

from typing import Any, NamedTuple

ASSISTANT = "assistant"
TOOL = "tool"
_PARTS = 256
# Results of tools within each other that are looked into.
_DEPTH = 4

_MEDIA = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "input_audio": "audio",
    "audio": "audio",
    "audio_url": "audio",
    "file": "file",
    "input_file": "file",
    "document": "file",
    "video_url": "video",
    "input_video": "video",
    "video": "video",
    "computer_screenshot": "image",
    "image_generation_call": "image",
    # What only a vLLM takes.
    "image_embeds": "image",
    "audio_embeds": "audio",
    "video_embeds": "video",
}
# A vLLM takes a part without a type for what the field in it says.
_UNTYPED = ("image_url", "audio_url", "video_url", "input_audio")
_TEXTS = ("text", "input_text", "output_text", "refusal")
# Parts and items in the history that are what a model thought or called: text to any model, not a kind of input.
_OF_THE_MODEL = frozenset(
    {
        "reasoning",
        "reasoning_text",
        "summary_text",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "tool_call",
        "tool_result",
        "tool_reference",
        "mcp_list_tools",
        "mcp_approval_request",
        "item_reference",
        "compaction",
        "compaction_summary",
    }
)
_CALL, _OUTPUT = "_call", "_output"
# Answers to a call that do not have _OUTPUT in their name.
_APPROVAL = "mcp_approval_response"
# Items that any upstream can read, or does without.
_OF_ANY_UPSTREAM = frozenset(
    {
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "web_search_call",
        "file_search_call",
        "reasoning",
    }
)


class Item(NamedTuple):
    """An input item without a role, such as a call or its output.

    `role`: whom it counts as, "" for none of the known; `length` in UTF-8 bytes; `called`: it is a tool call; `made`:
    only the upstream that made it, or the call that it answers, is sure to read it; `thought`: it is reasoning.
    """

    role: str
    text: str
    length: int
    media: list[str]
    called: bool
    made: bool
    thought: bool = False


def item(value: dict[str, Any]) -> Item:
    """Read an input item without a role."""
    kind = value.get("type")
    kind = kind if isinstance(kind, str) else ""
    if not kind and "content" not in value and isinstance(value.get("id"), str):
        kind = "item_reference"
    if kind.endswith(_OUTPUT) or kind == _APPROVAL:
        output = value.get("output")
        text, size, media = content(output)
        return Item(TOOL, text, size or length(output), media, False, kind not in _OF_ANY_UPSTREAM)
    if kind.endswith(_CALL) or kind in _OF_THE_MODEL:
        media = [_MEDIA[kind]] if kind in _MEDIA else []
        size = 0 if media else length(value)
        foreign = kind not in _OF_ANY_UPSTREAM
        return Item(ASSISTANT, "", size, media, kind.endswith(_CALL), foreign, kind == "reasoning")
    return Item("", *content(value.get("content")), False, False)


def names_stored_media(message: dict[str, Any]) -> bool:
    """Whether a message names a file or an answer in sound by its id, which only the API that stores it can read."""
    if message.get("role") == ASSISTANT and message.get("audio") is not None:
        return True
    return _names_a_file(message.get("content")) or _names_a_file(message.get("output"))


def images_beside(message: dict[str, Any]) -> list[str]:
    """The kinds of media in the field that OpenRouter has for the images of an answer, which come back with it."""
    return ["image"] if message.get("images") else []


def _names_a_file(value: object, depth: int = 0) -> bool:
    parts = value[:_PARTS] if isinstance(value, list) else [value]
    for part in parts:
        if isinstance(part, dict):
            # Chat completions have the id in `file`, Anthropic's API in `source`, also within the result of a tool.
            for holder in (part, part.get("file"), part.get("source")):
                if isinstance(holder, dict) and holder.get("file_id"):
                    return True
            if depth < _DEPTH and _names_a_file(part.get("content"), depth + 1):
                return True
    return False


def tool_types(tools: object) -> frozenset[str]:
    """The types of the offered tools; those of a request that has functions in their place are functions."""
    found = {_tool_type(tool) for tool in tools if isinstance(tool, dict)} if isinstance(tools, list) else set()
    return frozenset(found)


def _tool_type(tool: dict[str, Any]) -> str:
    kind = tool.get("type")
    if kind is None or kind == "":
        # Gemini's hosted tools are objects whose one key is their name.
        return "function" if "function" in tool or "name" in tool else "other"
    if not isinstance(kind, str):
        return "other"
    environment = tool.get("environment")
    if kind == "shell" and isinstance(environment, dict) and environment.get("type") != "local":
        return "hosted_shell"
    return kind


def content(value: object, depth: int = 0) -> tuple[str, int, list[str]]:
    """The text of one message's content, its length in UTF-8 bytes, and the kinds of media in it."""
    if isinstance(value, str):
        return value, utf8(value), []
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return "", 0, []
    texts: list[str] = []
    media: list[str] = []
    unread = 0
    for part in value[:_PARTS]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            kind = part.get("type") or _untyped(part)
            if kind in _TEXTS:
                written = part.get("text", part.get("refusal"))
                if isinstance(written, str):
                    texts.append(written)
            elif isinstance(kind, str) and kind not in _OF_THE_MODEL:
                media.append(_MEDIA.get(kind, "other"))
            elif kind and depth < _DEPTH:
                # The result of a tool may have media in it.
                media += content(part.get("content"), depth + 1)[2]
                unread += length(part)
    # Parts beyond the limit are only checked for media, which can rule out the student.
    media += [_MEDIA[p["type"]] for p in value[_PARTS:] if isinstance(p, dict) and _is_medium(p.get("type"))]
    text = "\n".join(texts)
    return text, utf8(text) + unread, media


def _untyped(part: dict[str, Any]) -> str | None:
    """The type of a part that names none, by what is in it."""
    return next((name for name in _UNTYPED if part.get(name)), "text" if "text" in part else None)


def _is_medium(kind: object) -> bool:
    return isinstance(kind, str) and kind in _MEDIA


def utf8(text: str) -> int:
    """The length of a text in UTF-8 bytes; an ASCII text is not encoded for it."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def length(value: object, depth: int = 0) -> int:
    """The approximate length in bytes of a JSON value, to a bounded depth."""
    if isinstance(value, str):
        return utf8(value)
    if depth < 8 and isinstance(value, dict):
        return sum(len(str(key)) + 4 + length(item, depth + 1) for key, item in value.items())
    if depth < 8 and isinstance(value, list):
        return sum(2 + length(item, depth + 1) for item in value)
    return 4
