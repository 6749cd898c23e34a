"""An OpenAI-compatible upstream that replays recorded answers, with their token counts and timing.

`python -m breakeven.models.replay --answers FILE.jsonl --model NAME --port 0 --port-file PATH` serves on 127.0.0.1.
A row of the file is {"prompt", "answer", "prompt_tokens", "output_tokens", "cached_tokens"?, "finish_reason"?,
"tokens"?, "logprobs"?}; the last two, the tokens of the answer with their log-probabilities, are for chat requests with
`logprobs`. The row is the one whose prompt equals the text of the last user message; without one the answer says that
it is not recorded.
The server is deterministic: the same request gets the same answer at the same rate.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from breakeven.models.replay import bodies
from breakeven.models.replay.answers import (
    Answer,
    AnswersError,
    Pacing,
    estimate_tokens,
    generic_answer,
    load_answers,
    message_text,
)
from breakeven.router.files import write_atomically

__all__ = ["Answer", "AnswersError", "Pacing", "create_app", "estimate_tokens", "load_answers", "serve"]


class _BadRequest(Exception):
    """A request that is answered with an error."""

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.response = Response(bodies.error(status, message, param), status, media_type="application/json")


class _Replay:
    """The endpoints, for one set of answers."""

    def __init__(self, answers: Mapping[str, Answer], model: str, pacing: Pacing, max_model_len: int) -> None:
        self._answers = answers
        self._model = model
        self._pacing = pacing
        self._max_model_len = max_model_len
        self._started = int(time.time())
        self._numbers = itertools.count(1)

    async def chat(self, request: Request) -> Response:
        return await self._answer(request, "chat", _chat_prompt)

    async def completions(self, request: Request) -> Response:
        return await self._answer(request, "completion", _completion_prompt)

    async def models(self, _request: Request) -> Response:
        body = bodies.models(self._model, self._started, self._max_model_len)
        return Response(body, media_type="application/json")

    async def health(self, _request: Request) -> Response:
        return Response()

    async def _answer(
        self,
        request: Request,
        kind: Literal["chat", "completion"],
        find_prompt: Callable[[dict[str, Any]], str],
    ) -> Response:
        start = time.monotonic()
        try:
            body = _object(await request.body())
            self._check_model(body.get("model"))
            prompt = find_prompt(body)
            streamed, with_usage = _streaming(body)
            limit = _limit(body)
            with_logprobs = kind == "chat" and body.get("logprobs") is True
        except _BadRequest as error:
            return error.response
        answer = (self._answers.get(prompt) or generic_answer(prompt)).truncated(limit)
        prefix = "chatcmpl" if kind == "chat" else "cmpl"
        shape = bodies.Shape(kind, f"{prefix}-replay-{next(self._numbers)}", int(time.time()), self._model)
        if streamed:
            events = self._events(shape, answer, start, with_usage=with_usage, with_logprobs=with_logprobs)
            return StreamingResponse(events, media_type="text/event-stream")
        await self._until(start, answer.output_tokens)
        logprobs = _logprobs(answer) if with_logprobs else []
        whole = shape.whole(answer.answer, answer.finish_reason, _usage(answer), logprobs)
        return Response(whole, media_type="application/json")

    async def _events(
        self, shape: bodies.Shape, answer: Answer, start: float, *, with_usage: bool, with_logprobs: bool
    ) -> AsyncIterator[bytes]:
        pieces = answer.pieces()
        logprobs = _logprobs(answer) if with_logprobs else []
        await self._until(start, 0)
        for event in shape.opening():
            yield event
        for number, piece in enumerate(pieces, 1):
            await self._until(start, answer.output_tokens * number / len(pieces))
            # As in vLLM, a token without text has an event only where log-probabilities were asked for.
            if piece or logprobs:
                yield shape.piece(piece, logprobs[number - 1 : number])
        yield shape.finish(answer.finish_reason)
        if with_usage:
            yield shape.usage(_usage(answer))
        yield bodies.DONE

    async def _until(self, start: float, tokens: float) -> None:
        # Relative to the start, not to the last event, so that delays of the event loop do not add up.
        await asyncio.sleep(max(0.0, start + self._pacing.seconds(tokens) - time.monotonic()))

    def _check_model(self, name: object) -> None:
        if name is not None and name != self._model:
            raise _BadRequest(f"The model `{name}` does not exist. Valid aliases: {self._model}.", "model", status=404)


def create_app(
    answers: Mapping[str, Answer],
    model: str,
    pacing: Pacing | None = None,
    max_model_len: int = 8192,
) -> Starlette:
    """The replay server as an ASGI application.

    `answers` by prompt, as `load_answers` returns them; `model`: the name of the model; `max_model_len`: the context
    window in tokens that it reports.
    """
    replay = _Replay(answers, model, pacing or Pacing(), max_model_len)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", replay.chat, methods=["POST"]),
            Route("/v1/completions", replay.completions, methods=["POST"]),
            Route("/v1/models", replay.models),
            Route("/health", replay.health),
        ],
        exception_handlers={HTTPException: _detail},
    )


def serve(app: Starlette, port: int = 0, port_file: Path | None = None) -> None:
    """Serve an application on 127.0.0.1 until SIGINT or SIGTERM.

    Port 0 takes a free one. The port is written to `port_file` once connections are accepted. Raises OSError if the
    port is in use.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(2048)
        if port_file is not None:
            write_atomically(port_file, f"{listener.getsockname()[1]}\n")
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=5)
        uvicorn.Server(config).run(sockets=[listener])


async def _detail(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _BadRequest("The body must be a JSON object.") from None


def _chat_prompt(body: dict[str, Any]) -> str:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _BadRequest("messages must be a list of at least one message.", "messages")
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            text = message_text(message.get("content"))
            if text is None:
                raise _BadRequest("content must be a string or a list of parts.", "messages")
            return text
    raise _BadRequest("messages holds no user message to answer.", "messages")


def _completion_prompt(body: dict[str, Any]) -> str:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise _BadRequest("prompt must be one string: this server replays one answer a request.", "prompt")
    return prompt


def _streaming(body: dict[str, Any]) -> tuple[bool, bool]:
    """Whether to stream the response, and whether to end the stream with a usage chunk."""
    streamed = body.get("stream") or False
    options = body.get("stream_options")
    if not isinstance(streamed, bool):
        raise _BadRequest("stream must be true or false.", "stream")
    if options is None:
        return streamed, False
    if not isinstance(options, dict) or not streamed:
        raise _BadRequest("stream_options must be an object, and go with `stream: true` only.", "stream_options")
    return streamed, options.get("include_usage") is True


def _limit(body: dict[str, Any]) -> int | None:
    if body.get("n") not in (None, 1):
        raise _BadRequest("n must be 1: this server replays one answer a request.", "n")
    for field in ("max_completion_tokens", "max_tokens"):
        limit = body.get(field)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise _BadRequest(f"{field} must be a whole number of at least 1.", field)
        return limit
    return None


def _usage(answer: Answer) -> bodies.Usage:
    return bodies.Usage(answer.prompt_tokens, answer.output_tokens, answer.cached_tokens)


def _logprobs(answer: Answer) -> list[tuple[str, float]]:
    return list(zip(answer.tokens, answer.logprobs, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code: 2 if the answers, an option or the port cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m breakeven.models.replay", description="Replay recorded answers over an OpenAI-compatible API."
    )
    parser.add_argument("--answers", type=Path, required=True, help="JSONL file of recorded answers")
    parser.add_argument("--model", required=True, help="name of the served model")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 for a free one")
    parser.add_argument("--port-file", type=Path, help="file to write the port to once the server accepts connections")
    parser.add_argument("--tokens-per-second", type=float, default=400.0, help="tokens per second of one stream")
    parser.add_argument("--first-event-seconds", type=float, default=0.05, help="delay before the first token")
    parser.add_argument("--speed", type=float, default=1.0, help="divides all delays; inf for no delays")
    parser.add_argument("--max-model-len", type=int, default=8192, help="context window to report, in tokens")
    options = parser.parse_args(arguments)
    try:
        pacing = Pacing(options.first_event_seconds, options.tokens_per_second, options.speed)
        app = create_app(load_answers(options.answers), options.model, pacing, options.max_model_len)
        serve(app, options.port, options.port_file)
    except KeyboardInterrupt:
        return 0
    except (ValueError, OSError, OverflowError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
