"""What the router reads of a request: text, estimated size, modalities and tool use.

Takes bounded time and never raises, whatever a client sends: values of an unexpected type are skipped. The router reads
at most MAX_CHARACTERS of text; of a longer message it keeps the first and the last half of that, since the question
usually is at either end of a long prompt.
"""

from __future__ import annotations

from typing import NamedTuple

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
    "video": "video",
}
_TEXTS = ("text", "input_text", "output_text", "refusal")
_TEXT_ONLY = frozenset({"text"})
_FOLLOW_UP_CHARACTERS = 40
_EARLIER = 4
_SYSTEM = ("system", "developer")
_TOOL_RESULTS = ("tool", "function")
_TOOL_OUTPUT = "function_call_output"


class Conversation(NamedTuple):
    """What the router reads of a request.

    `text`: the last user message, at most MAX_CHARACTERS; `tokens`: an estimate of all prompt tokens, rather too high;
    `modalities`: "text" and the kinds of media in the request; `tools`: whether tools are offered or were called;
    `earlier`: the texts of up to _EARLIER user messages before the last, oldest first; `opening`: the system prompt and
    the first user message; `answers_tool`: whether the last message is the result of a tool call.
    """

    text: str
    tokens: int
    modalities: frozenset[str]
    tools: bool
    earlier: tuple[str, ...] = ()
    opening: str = ""
    answers_tool: bool = False


def read_chat(messages: object, tools: object = None) -> Conversation:
    """The conversation in the `messages` of a chat completion or the input items of a response, with its `tools`.

    Never raises for values decoded from JSON.
    """
    asked: list[str] = []
    opening: list[str] = []
    size = 0.0
    media: list[str] = []
    used_tools = bool(tools)
    answers_tool = False
    turns = messages if isinstance(messages, list) else []
    for message in turns:
        if not isinstance(message, dict):
            continue
        text, length, found = _content(message.get("content"))
        size += length + _TOKENS_PER_MESSAGE * _BYTES_PER_TOKEN
        media += found
        role = message.get("role")
        answers_tool = role in _TOOL_RESULTS if isinstance(role, str) else message.get("type") == _TOOL_OUTPUT
        used_tools = used_tools or bool(message.get("tool_calls")) or answers_tool
        if not asked and isinstance(role, str) and (role in _SYSTEM or role == "user"):
            opening.append(text)
        if role == "user" and text.strip():
            asked.append(text)
        calls = message.get("tool_calls")
        if calls:
            size += _length(calls)
    if tools:
        size += _length(tools)
    *earlier, text = [_turn(asked, index) for index in range(max(0, len(asked) - 1 - _EARLIER), len(asked))] or [""]
    return Conversation(
        text,
        _tokens(size, media),
        frozenset({"text", *media}),
        used_tools,
        tuple(earlier),
        "\n".join(opening),
        answers_tool,
    )


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
    ids = sum(isinstance(item, int | float) for item in items)
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


def _content(content: object) -> tuple[str, int, list[str]]:
    """The text of one message's content, its length in UTF-8 bytes, and the kinds of media in it."""
    if isinstance(content, str):
        return content, _utf8(content), []
    if not isinstance(content, list):
        return "", 0, []
    texts: list[str] = []
    media: list[str] = []
    for part in content[:_PARTS]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            kind = part.get("type")
            if kind in _TEXTS:
                value = part.get("text", part.get("refusal"))
                if isinstance(value, str):
                    texts.append(value)
            elif isinstance(kind, str):
                media.append(_MEDIA.get(kind, "other"))
    # Parts beyond the limit are only checked for media, which can rule out the student.
    media += [_MEDIA[p["type"]] for p in content[_PARTS:] if isinstance(p, dict) and _is_medium(p.get("type"))]
    text = "\n".join(texts)
    return text, _utf8(text), media


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
