"""What the router reads of a request: text, estimated size, modalities and tool use.

Takes bounded time and never raises, whatever a client sends: values of an unexpected type are skipped. The router reads
at most MAX_CHARACTERS of text; of a longer message it keeps the first and the last half of that, since the question
usually is at either end of a long prompt.
"""

from __future__ import annotations

from typing import NamedTuple

from breakeven.router.parts import (
    ASSISTANT,
    content,
    images_beside,
    item,
    length,
    names_stored_media,
    tool_types,
    utf8,
)

MAX_CHARACTERS = 8192
_PARTS = 256
# A token is about four characters of English, and one or two of other scripts. UTF-8 bytes divided by three
# overestimate for English, so that a prompt is not sent to a model whose context window it may exceed.
_BYTES_PER_TOKEN = 3.0
_BYTES_PER_MESSAGE = 8 * _BYTES_PER_TOKEN
# The tokens of an image vary widely between models; this is only compared with a context window.
_TOKENS_PER_MEDIUM = 1024
_TEXT_ONLY = frozenset({"text"})
_NOTHING: frozenset[str] = frozenset()
_FOLLOW_UP_CHARACTERS = 40
_EARLIER = 4
_TOOL_RESULTS = ("tool", "function")
_REPLIES = 4


class Conversation(NamedTuple):
    """What the router reads of a request.

    `text`: the last user message, at most MAX_CHARACTERS; `tokens`: an estimate of all prompt tokens, rather too high;
    `modalities`: "text" and the kinds of media in the request; `tools`: whether tools are offered or were called;
    `earlier`: the texts by which up to _EARLIER earlier requests of the conversation were read, oldest first;
    `answers_tool`: whether the last message is the result of a tool call.

    `outputs`: the kinds of output that are asked for; `tool_types`: the types of the offered tools; `made`: there are
    items that only the upstream that made them is sure to read; `thoughts`: there are reasoning items; `stored`: it
    names state that the teacher's API stores; `background`: the answer is to be made and stored after the request.

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
    outputs: frozenset[str] = _TEXT_ONLY
    tool_types: frozenset[str] = _NOTHING
    made: bool = False
    stored: bool = False
    thoughts: bool = False
    background: bool = False


def read_chat(messages: object, tools: object = None) -> Conversation:
    """The conversation in a chat's `messages` or a response's input items, with its `tools`. Never raises for JSON."""
    asked: list[str] = []
    media: list[str] = []
    read: list[int] = []
    replies: list[int] = []
    size, used_tools = (float(length(tools)), True) if tools else (0.0, False)
    answers_tool = answering = made = stored = thoughts = False
    end, last_user = 0, -1
    for index, message in enumerate(messages if isinstance(messages, list) else []):
        if not isinstance(message, dict):
            continue
        role, text = message.get("role"), message.get("content")
        if not isinstance(role, str):
            role, text, bytes_, found, called, of_its_maker, thought = item(message)
            used_tools, made, thoughts = used_tools or called, made or of_its_maker, thoughts or thought
        elif isinstance(text, str):
            bytes_, found = len(text) if text.isascii() else utf8(text), None
        else:
            text, bytes_, found = content(text)
        size += bytes_ + _BYTES_PER_MESSAGE
        if found:
            media += found
        answers_tool = role in _TOOL_RESULTS
        # Most messages have nothing but a role and content.
        if len(message) > 2 or found or not text:
            calls = message.get("tool_calls") or message.get("function_call")
            if calls:
                size, used_tools = size + length(calls), True
            stored = stored or names_stored_media(message)
            media += images_beside(message)
        if role == ASSISTANT:
            if end and not answering:
                replies.append(index)
                if asked and (not read or read[-1] != len(asked)):
                    read.append(len(asked))
            answering = True
            continue
        answering, end, used_tools = False, index + 1, used_tools or answers_tool
        if role == "user":
            last_user = index
            if text.strip():
                asked.append(text)
    text, earlier = _texts(asked, read)
    return Conversation(
        text,
        _tokens(size, media),
        frozenset({"text", *media}) if media else _TEXT_ONLY,
        used_tools,
        earlier,
        answers_tool,
        # A last answer, which the client has begun itself for the model to go on, is no reply.
        tuple(replies[-_REPLIES - answering : -1 if answering else None]),
        end,
        last_user,
        tool_types=tool_types(tools) if tools else _NOTHING,
        made=made,
        stored=stored,
        thoughts=thoughts,
    )


def _texts(asked: list[str], read: list[int]) -> tuple[str, tuple[str, ...]]:
    """The text of the request, and those of earlier ones: `read` says how many messages were `asked` by then."""
    if read and read[-1] == len(asked):
        read.pop()
    earlier = tuple([_turn(asked, count - 1) for count in read[-_EARLIER:]])
    return _turn(asked, len(asked) - 1) if asked else "", earlier


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
        return Conversation(cut(prompt), _tokens(utf8(prompt), []), _TEXT_ONLY, False)
    items = prompt if isinstance(prompt, list) else []
    texts = [item for item in items[:_PARTS] if isinstance(item, str)]
    ids = sum(isinstance(item, int | float) for item in items)
    longest = max((len(item) for item in items if isinstance(item, list)), default=0)
    size = max((utf8(text) for text in texts), default=0)
    tokens = max(ids, longest, _tokens(size, []))
    return Conversation(cut("\n".join(text[:MAX_CHARACTERS] for text in texts)), tokens, _TEXT_ONLY, False)


def cut(text: str) -> str:
    """At most MAX_CHARACTERS of a text: its first and its last half of that, joined by a line feed, if it is longer."""
    if len(text) <= MAX_CHARACTERS:
        return text
    half = MAX_CHARACTERS // 2
    return f"{text[: half - 1]}\n{text[len(text) - half :]}"


def _tokens(size: float, media: list[str]) -> int:
    return int(size / _BYTES_PER_TOKEN) + _TOKENS_PER_MEDIUM * len(media)
