"""Response bodies and stream chunks of an OpenAI-compatible API, in the format of vLLM 0.32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

DONE = b"data: [DONE]\n\n"

# Tokens with their log-probabilities.
Logprobs = Sequence[tuple[str, float]]


class Usage(msgspec.Struct, frozen=True):
    """The token counts of an answer; `cached` is a part of `prompt`."""

    prompt: int
    output: int
    cached: int = 0

    def body(self) -> dict[str, Any]:
        """The counts as the API's `usage` object."""
        return {
            "prompt_tokens": self.prompt,
            "total_tokens": self.prompt + self.output,
            "completion_tokens": self.output,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": None,
        }


class Shape(msgspec.Struct, frozen=True):
    """Encodes one answer in the format of an endpoint: chat completions or legacy completions."""

    kind: Literal["chat", "completion"]
    id: str
    created: int
    model: str

    def whole(self, text: str, finish: str, usage: Usage, logprobs: Logprobs = ()) -> bytes:
        """The body of a response that is not streamed; legacy completions have no `logprobs`."""
        if self.kind == "chat":
            message = {"role": "assistant", "content": text, "refusal": None}
            choice = {"index": 0, "message": message, "logprobs": _content(logprobs), "finish_reason": finish}
        else:
            choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return msgspec.json.encode({**self._head(chunk=False), "choices": [choice], "usage": usage.body()})

    def opening(self) -> Iterator[bytes]:
        """The events before the text: the chunk with the role for chat, none for legacy completions."""
        if self.kind == "chat":
            yield self._event([self._choice({"role": "assistant", "content": ""}, None)])

    def piece(self, text: str, logprobs: Logprobs = ()) -> bytes:
        """The event with a part of the text, for chat with the `logprobs` of its tokens."""
        return self._event([self._choice({"content": text}, None, logprobs)])

    def finish(self, reason: str) -> bytes:
        """The event that carries the finish reason."""
        return self._event([self._choice({"content": ""} if self.kind == "completion" else {}, reason)])

    def usage(self, usage: Usage) -> bytes:
        """The event that `stream_options.include_usage` requests, with the usage and no choices."""
        return self._event([], usage=usage.body())

    def _choice(self, delta: dict[str, str], finish: str | None, logprobs: Logprobs = ()) -> dict[str, Any]:
        if self.kind == "chat":
            return {"index": 0, "delta": delta, "logprobs": _content(logprobs), "finish_reason": finish}
        return {"index": 0, "text": delta["content"], "logprobs": None, "finish_reason": finish}

    def _head(self, *, chunk: bool) -> dict[str, Any]:
        names = {"chat": "chat.completion", "completion": "text_completion"}
        name = names[self.kind] + (".chunk" if chunk and self.kind == "chat" else "")
        return {"id": self.id, "object": name, "created": self.created, "model": self.model}

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        body = msgspec.json.encode({**self._head(chunk=True), "choices": choices, **more})
        return b"data: " + body + b"\n\n"


def _content(logprobs: Logprobs) -> dict[str, Any] | None:
    if not logprobs:
        return None
    tokens = [
        {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []}
        for token, value in logprobs
    ]
    return {"content": tokens}


def models(name: str, created: int, max_model_len: int) -> bytes:
    """The body of `GET /v1/models` of a server with one model."""
    entry = {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "replay",
        "root": name,
        "parent": None,
        "max_model_len": max_model_len,
    }
    return msgspec.json.encode({"object": "list", "data": [entry]})


def error(status: int, message: str, param: str | None = None) -> bytes:
    """The body of an error; as in vLLM, `code` is the HTTP status."""
    kind = {400: "BadRequestError", 404: "NotFoundError"}.get(status, "InternalServerError")
    body = {"error": {"message": message, "type": kind, "param": param, "code": status}}
    return msgspec.json.encode(body)
