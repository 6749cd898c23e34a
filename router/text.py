"""What the router reads of a request: text, estimated size, modalities and tool use.

Takes bounded time and never raises, whatever a client sends: values of an unexpected type are skipped. The router reads
at most MAX_CHARACTERS of text; of a longer message it keeps the first and the last half of that, since the question
usually is at either end of a long prompt.
"""

from __future__ import annotations

from typing import Any, NamedTuple

MAX_CHARACTERS = 8192
_PARTS = 256
# A token is about four characters of English, and one or two of other scripts. UTF-8 bytes divided by three
# overestimate for English, so that a prompt is not sent to a model whose context window it may exceed.
_BYTES_PER_TOKEN = 3.0
_TOKENS_PER_MESSAGE = 8
# The tokens of an image vary widely between models; this is only compared with a context window.
_TOKENS_PER_MEDIUM = 1024

_MEDIA = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "input_audio": "audio",
    "audio": "audio",
    "audio_url": "audio",
    "file": "file",
    "input_file": "file",
    "video_url": "video",
    "input_video": "video",
    "video": "video",
    "computer_screenshot": "image",
    "image_generation_call": "image",
}
_TEXTS = ("text", "input_text", "output_text", "refusal")
_TEXT_ONLY = frozenset({"text"})
_FOLLOW_UP_CHARACTERS = 40
_EARLIER = 4
_TOOL_RESULTS = ("tool", "function")
_ASSISTANT = "assistant"
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
        "mcp_list_tools",
        "mcp_approval_request",
        "item_reference",
        "compaction",
    }
)
_CALL, _OUTPUT = "_call", "_output"
# Answers to a call that do not have _OUTPUT in their name.
_APPROVAL = "mcp_approval_response"
_REPLIES = 4
# Results of tools within each other that are looked into.
_DEPTH = 4


class Conversation(NamedTuple):
    """What the router reads of a request.

    `text`: the last user message, at most MAX_CHARACTERS; `tokens`: an estimate of all prompt tokens, rather too high;
    `modalities`: "text" and the kinds of media in the request; `tools`: whether tools are offered or were called;
    `earlier`: the texts by which up to _EARLIER earlier requests of the conversation were read, oldest first;
    `answers_tool`: whether the last message is the result of a tool call.

    `replies`: the indices of up to _REPLIES last messages with which an answer of a model begins that the client has
    replied to; `asked`: the number of messages up to the client's last one; `last_user`: the index of the last message
    of the user, -1 without one.
    """

    text: str
    tokens: int
    modalities: frozenset[str]
    tools: bool
    earlier: tuple[str, ...] = ()
    answers_tool: bool = False
    replies: tuple[int, ...] = ()
    asked: int = 0
    last_user: int = -1


def read_chat(messages: object, tools: object = None) -> Conversation:
    """The conversation in the `messages` of a chat completion or the input items of a response, with its `tools`.

    Never raises for values decoded from JSON.
    """
    asked: list[str] = []
    read: list[int] = []
    replies: list[int] = []
    size = float(_length(tools)) if tools else 0.0
    media: list[str] = []
    used_tools = bool(tools)
    answers_tool = answering = False
    end, last_user = 0, -1
    turns = messages if isinstance(messages, list) else []
    for index, message in enumerate(turns):
        if not isinstance(message, dict):
            continue
        role = message.get("role")
        if isinstance(role, str):
            text, length, found = _content(message.get("content"))
        else:
            role, text, length, found, called = _item(message)
            used_tools = used_tools or called
        size += length + _TOKENS_PER_MESSAGE * _BYTES_PER_TOKEN
        media += found
        calls = message.get("tool_calls") or message.get("function_call")
        if calls:
            size += _length(calls)
        answers_tool = role in _TOOL_RESULTS
        used_tools = used_tools or answers_tool or bool(calls)
        if role == _ASSISTANT:
            if end and not answering:
                replies.append(index)
                if asked and (not read or read[-1] != len(asked)):
                    read.append(len(asked))
            answering = True
            continue
        answering = False
        end = index + 1
        if role == "user":
            last_user = index
            if text.strip():
                asked.append(text)
    if answering and replies:
        # The last answer is one that the client has begun itself, for the model to go on.
        replies.pop()
    if read and read[-1] == len(asked):
        read.pop()
    return Conversation(
        _turn(asked, len(asked) - 1) if asked else "",
        _tokens(size, media),
        frozenset({"text", *media}) if media else _TEXT_ONLY,
        used_tools,
        tuple([_turn(asked, count - 1) for count in read[-_EARLIER:]]),
        answers_tool,
        tuple(replies[-_REPLIES:]),
        end,
        last_user,
    )


def _item(item: dict[str, Any]) -> tuple[str, str, int, list[str], bool]:
    """Role, text, length in UTF-8 bytes and media of an input item without a role, and whether it is a call."""
    kind = item.get("type")
    kind = kind if isinstance(kind, str) else ""
    if kind.endswith(_OUTPUT) or kind == _APPROVAL:
        output = item.get("output")
        text, length, found = _content([output] if isinstance(output, dict) else output)
        return "tool", text, length or _length(output), found, False
    if kind.endswith(_CALL) or kind in _OF_THE_MODEL:
        medium = [_MEDIA[kind]] if kind in _MEDIA else []
        return _ASSISTANT, "", 0 if medium else _length(item), medium, kind.endswith(_CALL)
    return "", *_content(item.get("content")), False


def _turn(asked: list[str], index: int) -> str:
    """The text of one user message; a short follow-up question is joined with the message before it."""
    question = asked[index]
    if index == 0 or len(question) >= _FOLLOW_UP_CHARACTERS:
        return cut(question)
    return cut(f"{asked[index - 1]}\n{question}")


def read_prompt(prompt: object) -> Conversation:
    """The conversation in the `prompt` of a legacy completion: a string, strings, token ids, or lists of token ids.

    Never raises for values decoded from JSON.
    """
    if isinstance(prompt, str):
        return Conversation(cut(prompt), _tokens(_utf8(prompt), []), _TEXT_ONLY, False)
    items = prompt if isinstance(prompt, list) else []
    texts = [item for item in items[:_PARTS] if isinstance(item, str)]
    ids = sum(isinstance(item, int) for item in items)
    longest = max((len(item) for item in items if isinstance(item, list)), default=0)
    size = max((_utf8(text) for text in texts), default=0)
    tokens = max(ids, longest, _tokens(size, []))
    return Conversation(cut("\n".join(text[:MAX_CHARACTERS] for text in texts)), tokens, _TEXT_ONLY, False)


def cut(text: str) -> str:
    """At most MAX_CHARACTERS of a text: its first and its last half of that, joined by a line feed, if it is longer."""
    if len(text) <= MAX_CHARACTERS:
        return text
    half = MAX_CHARACTERS // 2
    return f"{text[: half - 1]}\n{text[len(text) - half :]}"


def _content(content: object, depth: int = 0) -> tuple[str, int, list[str]]:
    """The text of one message's content, its length in UTF-8 bytes, and the kinds of media in it."""
    if isinstance(content, str):
        return content, _utf8(content), []
    if not isinstance(content, list):
        return "", 0, []
    texts: list[str] = []
    media: list[str] = []
    unread = 0
    for part in content[:_PARTS]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            kind = part.get("type")
            if kind in _TEXTS:
                value = part.get("text", part.get("refusal"))
                if isinstance(value, str):
                    texts.append(value)
            elif isinstance(kind, str) and kind not in _OF_THE_MODEL:
                media.append(_MEDIA.get(kind, "other"))
            elif kind and depth < _DEPTH:
                # The result of a tool may have media in it.
                media += _content(part.get("content"), depth + 1)[2]
                unread += _length(part)
    # Parts beyond the limit are only checked for media, which can rule out the student.
    media += [_MEDIA[p["type"]] for p in content[_PARTS:] if isinstance(p, dict) and _is_medium(p.get("type"))]
    text = "\n".join(texts)
    return text, _utf8(text) + unread, media


def _is_medium(kind: object) -> bool:
    return isinstance(kind, str) and kind in _MEDIA


def _utf8(text: str) -> int:
    """The length of a text in UTF-8 bytes; an ASCII text is not encoded for it."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _length(value: object, depth: int = 0) -> int:
    """The approximate length in bytes of a JSON value, to a bounded depth."""
    if isinstance(value, str):
        return _utf8(value)
    if depth < 8 and isinstance(value, dict):
        return sum(len(str(key)) + 4 + _length(item, depth + 1) for key, item in value.items())
    if depth < 8 and isinstance(value, list):
        return sum(2 + _length(item, depth + 1) for item in value)
    return 4


def _tokens(size: float, media: list[str]) -> int:
    return int(size / _BYTES_PER_TOKEN) + _TOKENS_PER_MEDIUM * len(media)
