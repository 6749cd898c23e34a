"""The tokenizer of one upstream: vLLM's own over HTTP, or a vocabulary on this machine.

It counts what no usage reported, after the client has its answer. What it cannot count soon is left to estimates.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from breakeven.gateway.errors import UpstreamFailure
from breakeven.gateway.wire.body import Body

VLLM = "vllm"
AUTO = "auto"
TIKTOKEN = "tiktoken:"
_INSTALL = "install it with: pip install 'breakeven[tokenizers]'"
# Longer texts and prompts are not counted; UTF-8 bytes.
_MAX_BYTES = 1 << 19
# Calls to a server at the same time, and how many may wait for one.
_CONCURRENT, _WAITING = 4, 64
_SECONDS = 1.0
# How long a server is left alone that has no tokenizer, and one that failed.
_ABSENT_SECONDS, _REST_SECONDS = 600.0, 10.0
_ABSENT = frozenset({404, 405, 501})
_FETCH_SECONDS = 30.0
# Fields of a chat request that are part of the prompt.
_OF_PROMPT = ("messages", "tools", "chat_template_kwargs", "add_generation_prompt", "continue_final_message")

Send = Callable[[bytes], Awaitable[tuple[int, bytes]]]


class Tokenizer(Protocol):
    """Counts tokens as the upstream does. Both return None where they could not, and raise only CancelledError."""

    async def text(self, text: str) -> int | None:
        """The tokens of a text that the model wrote."""

    async def prompt(self, body: Body) -> int | None:
        """The tokens of the prompt of a chat or completions request, with what the model's template adds."""


class _Counted(msgspec.Struct):
    count: int


_COUNTED = msgspec.json.Decoder(_Counted)


class ServerTokenizer:
    """vLLM's `/tokenize`, which applies the model's chat template as well."""

    def __init__(self, model: str, send: Send, is_there: Callable[[], bool] = lambda: True) -> None:
        """`model`: its name at the server. `send`: posts a JSON document and returns status and body of the answer.
        `is_there`: whether the server is known to have a tokenizer; it is asked nothing else.
        """
        self._model = model
        self._send = send
        self._is_there = is_there
        self._free = asyncio.Semaphore(_CONCURRENT)
        self._waiting = 0
        self._not_before = 0.0

    async def text(self, text: str) -> int | None:
        """The tokens of the text alone, without those that begin a prompt."""
        return await self._count({"prompt": text, "add_special_tokens": False})

    async def prompt(self, body: Body) -> int | None:
        """The tokens of a prompt of text; None for one with images or sound, or one as a list of several."""
        if len(body) > _MAX_BYTES:
            return None
        if "messages" in body:
            if not _only_text(body.get("messages", Any, "an array")):
                return None
            return await self._count({name: body.get(name, Any, "valid") for name in _OF_PROMPT if name in body})
        prompt = body.get("prompt", Any, "a string or an array")
        if isinstance(prompt, str):
            return await self._count({"prompt": prompt})
        if isinstance(prompt, list) and all(isinstance(one, int) for one in prompt):
            return len(prompt)
        return None

    async def _count(self, fields: dict[str, Any]) -> int | None:
        if not self._is_there():
            return None
        document = msgspec.json.encode({"model": self._model, **fields})
        if len(document) > _MAX_BYTES or self._waiting >= _WAITING or time.monotonic() < self._not_before:
            return None
        self._waiting += 1
        try:
            async with asyncio.timeout(_SECONDS), self._free:
                # One that waited may have been told meanwhile that the server does not answer.
                if time.monotonic() < self._not_before:
                    return None
                status, answer = await self._send(document)
                if status == 200:
                    return _COUNTED.decode(answer).count
                # Any other status, such as one for a prompt that the template refuses, says nothing of the next one.
                if status in _ABSENT:
                    self._not_before = time.monotonic() + _ABSENT_SECONDS
        except (OSError, TimeoutError, UpstreamFailure, ValueError, msgspec.DecodeError):
            self._not_before = time.monotonic() + _REST_SECONDS
        finally:
            self._waiting -= 1
        return None


class LocalTokenizer:
    """A vocabulary of `tiktoken` or a `tokenizer.json`. It knows no chat template, so that it counts no prompts."""

    def __init__(self, name: str) -> None:
        """`name` as `load_tokenizer` takes it, which was called before, at the start."""
        self._name = name

    async def text(self, text: str) -> int | None:
        """The tokens of the text, counted in a thread."""
        if len(text) > _MAX_BYTES:
            return None
        return await asyncio.to_thread(lambda: load_tokenizer(self._name)(text))

    async def prompt(self, body: Body) -> int | None:  # noqa: ARG002
        """None: what the provider adds to a prompt is not known here."""
        return None


@functools.lru_cache(maxsize=8)
def load_tokenizer(name: str) -> Callable[[str], int]:
    """A function that counts the tokens of a text, from `tiktoken:ENCODING` or the path of a `tokenizer.json`.

    tiktoken reads its vocabulary from the folder TIKTOKEN_CACHE_DIR and fetches it once if it is not there. Raises
    ValueError with what is wrong and how to mend it.
    """
    if name.startswith(TIKTOKEN):
        return _load_tiktoken(name.removeprefix(TIKTOKEN))
    try:
        from tokenizers import Tokenizer as Vocabulary
    except ImportError:
        raise ValueError(f"the package tokenizers is not installed; {_INSTALL}") from None
    if not Path(name).is_file():
        raise ValueError(f"{name} does not exist; give the path of a tokenizer.json, relative to the config")
    try:
        vocabulary = Vocabulary.from_file(name)
    except Exception:  # what it raises has no other class
        raise ValueError(f"{name} is not a tokenizer.json of Hugging Face") from None
    return lambda text: len(vocabulary.encode(text, add_special_tokens=False).ids)


def _load_tiktoken(encoding: str) -> Callable[[str], int]:
    try:
        import tiktoken
    except ImportError:
        raise ValueError(f"the package tiktoken is not installed; {_INSTALL}") from None
    known = tiktoken.list_encoding_names()
    if encoding not in known:
        raise ValueError(f"tiktoken has no encoding {encoding}; choose one of {', '.join(sorted(known))}")
    found: list[Any] = []

    def fetch() -> None:
        try:
            found.append(tiktoken.get_encoding(encoding))
        except Exception as error:  # of requests, which is not ours to import
            found.append(type(error).__name__)

    # It sets no time limit of its own.
    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(_FETCH_SECONDS)
    if not found or isinstance(found[0], str):
        why = found[0] if found else f"no answer in {_FETCH_SECONDS:.0f} s"
        raise ValueError(
            f"the vocabulary of {encoding} is not in the folder TIKTOKEN_CACHE_DIR and could not be fetched ({why}); "
            "copy it there from a machine that can fetch it"
        )
    return lambda text: len(found[0].encode_ordinary(text))


def _only_text(messages: Any) -> bool:
    for message in messages if isinstance(messages, list) else [None]:
        content = message.get("content") if isinstance(message, dict) else 0
        parts = content if isinstance(content, list) else []
        if not isinstance(content, str | list | None) or any(
            not isinstance(part, dict) or part.get("type") != "text" for part in parts
        ):
            return False
    return True
