"""conversation -> the text and the facts that the router sees.

Bounded work and no exceptions whatever a client sends: what has an unexpected type is passed over. The
router reads at most `MAX_CHARACTERS` of text: of a longer conversation the first half of that budget of
the last user message and its end, since the question stands at either end of a long prompt.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_CHARACTERS = 8192
_PARTS = 256
# One token of English is about four characters; of other scripts one to two. Counting UTF-8 bytes and
# dividing by three errs on the long side for English, so that a prompt is not sent where it may not fit.
_BYTES_PER_TOKEN = 3.0
_TOKENS_PER_MESSAGE = 8
# What an image costs differs between models by far; only used against a context window.
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
    """What the router sees of a request.

    `text` is what the last user turn asks, at most MAX_CHARACTERS; `tokens` an estimate of all prompt
    tokens, on the long side; `modalities` holds "text" and what else the request contains; `tools` is True
    where tools are offered or were used. `earlier` are the texts of turns before this one, at most
    _EARLIER; `opening` is the system prompt and the first user message; `answers_tool` is True where the last
    message is the result of a tool.
    """

    text: str
    tokens: int
    modalities: frozenset[str]
    tools: bool
    earlier: tuple[str, ...] = ()
    opening: str = ""
    answers_tool: bool = False


def read_chat(messages: object, tools: object = None) -> Conversation:
    """A chat's messages, or the input items of a response. Never raises."""
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
    """A user's turn as the router reads it: a short follow-up is only understood with the turn before it."""
    question = asked[index]
    if index == 0 or len(question) >= _FOLLOW_UP_CHARACTERS:
        return cut(question)
    return cut(f"{asked[index - 1]}\n{question}")


def read_prompt(prompt: object) -> Conversation:
    """A legacy prompt: a string, a list of strings, token ids, or a list of those. Never raises."""
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
    """At most MAX_CHARACTERS: the head and the tail of a longer text, which is where its question stands."""
    if len(text) <= MAX_CHARACTERS:
        return text
    half = MAX_CHARACTERS // 2
    return f"{text[: half - 1]}\n{text[len(text) - half :]}"


def _content(content: object) -> tuple[str, int, list[str]]:
    """The text of one message, its length in bytes, and what else is in it."""
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
    # Beyond the parts that are read, only what would forbid the student counts.
    media += [_MEDIA[p["type"]] for p in content[_PARTS:] if isinstance(p, dict) and _is_medium(p.get("type"))]
    text = "\n".join(texts)
    return text, _utf8(text), media


def _is_medium(kind: object) -> bool:
    return isinstance(kind, str) and kind in _MEDIA


def _utf8(text: str) -> int:
    """UTF-8 bytes, without encoding an ASCII text."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _length(value: object, depth: int = 0) -> int:
    """Roughly how many bytes a JSON value has, with bounded depth."""
    if isinstance(value, str):
        return _utf8(value)
    if depth < 8 and isinstance(value, dict):
        return sum(len(str(key)) + 4 + _length(item, depth + 1) for key, item in value.items())
    if depth < 8 and isinstance(value, list):
        return sum(2 + _length(item, depth + 1) for item in value)
    return 4


def _tokens(size: float, media: list[str]) -> int:
    return int(size / _BYTES_PER_TOKEN) + _TOKENS_PER_MEDIUM * len(media)
