"""One call to a chat model behind an OpenAI-compatible API: its reply, or the kind of failure."""

from __future__ import annotations

import contextlib
import email.utils
import json
import math
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import httpx2

from breakeven.gateway.accounting.usage import NO_USAGE, Usage, read_usage
from breakeven.gateway.wire.refusals import LIMITS, Refusals, refusal, too_large
from breakeven.models.client.thoughts import split_thought
from breakeven.models.errors import DistillError
from breakeven.router.masking import masked

Message = dict[str, Any]
_MAX_MESSAGE = 200
# A token is at least one byte in every vocabulary in use; chat templates add some to each message and each call.
_TOKENS_PER_MESSAGE = 64
_TOKENS_PER_CALL = 256
# Fields of a call that a server writes into the prompt.
_IN_PROMPT = ("tools", "response_format")
# How many fields a model may refuse, one after another.
_MOST_REFUSALS = 8


class Call(NamedTuple):
    """A request: `key` identifies it in the journal, `max_tokens` limits its output, `more` are further fields of the
    body. `least`: the limit that will do where the model cannot write as much as `max_tokens`; None: no other will.
    """

    key: str
    messages: list[Message]
    max_tokens: int
    more: Mapping[str, Any] = {}
    least: int | None = None

    def prompt_bound(self) -> int:
        """An upper bound on the prompt tokens of this call, with its tools."""
        size = sum(_bytes(value) for m in self.messages for name, value in m.items() if name != "role")
        size += sum(_bytes(self.more[name]) for name in _IN_PROMPT if name in self.more)
        return size + _TOKENS_PER_MESSAGE * len(self.messages) + _TOKENS_PER_CALL


class Reply(NamedTuple):
    """The answer to a call, after `seconds`, without what the model thought first, which is its `reasoning`.

    `logprobs`: the API's list of tokens with alternatives, if requested; `tool_calls` as in the API.
    """

    text: str
    refusal: str | None
    finish_reason: str | None
    usage: Usage
    seconds: float
    model: str | None
    logprobs: list[dict[str, Any]] | None
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] | None = None

    @property
    def cut_off(self) -> bool:
        """Whether the limit of the output ended it."""
        return self.finish_reason == "length"


class Failure(StrEnum):
    """How a call failed. The values are written to the journal."""

    AUTH = "auth"  # 401, 403
    MISSING = "missing"  # 404
    QUOTA = "quota"  # the account has no money left
    BAD = "bad"  # the API refuses this request: 400, 413, 422
    RATE = "rate"  # 429
    SERVER = "server"  # 5xx, 529
    CONNECT = "connect"  # nothing was sent
    LOST = "lost"  # sent, but no complete answer arrived
    INVALID = "nonsense"  # status 200, but the body is not a chat completion


class CallFailed(Exception):
    """A call failed.

    `maybe_paid`: the API may have charged for it; `retry_after`: seconds, where the API named them. `status` is that of
    the response, `param` and `said` what its error said; None and empty without one.
    """

    def __init__(
        self,
        kind: Failure,
        message: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        refusal: tuple[str | None, str] = (None, ""),
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        self.status = status
        self.param, self.said = refusal
        self.maybe_paid = kind in (Failure.LOST, Failure.INVALID)


class Chat:
    """A model behind an API. Use it as an async context manager.

    `base_url` ends in /v1; `timeout_seconds` limits the time without a byte from the API. `limit_field` is the field
    that limits the output: `max_tokens` for most APIs, `max_completion_tokens` for OpenAI's reasoning models; the other
    one is used where the model refuses it. `refusals`: what the model is known to refuse, shared by all that call it.
    Raises DistillError where `base_url` is not an HTTP URL, or holds a password.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 120.0,
        limit_field: str = LIMITS[0],
        refusals: Refusals | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise DistillError("the base URL must start with http:// or https://, such as https://api.example.com/v1")
        if masked(base_url) != base_url:
            # It stands in messages and in the dataset's manifest.
            raise DistillError("the base URL holds a password; put it into an environment variable, for --api-key-env")
        self.model = model
        self.base_url = base_url.rstrip("/")
        self._key = api_key
        self._limit_field = limit_field
        self.refusals = Refusals() if refusals is None else refusals
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx2.Timeout(timeout_seconds, connect=10.0, pool=None)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=256)
        self._client = httpx2.AsyncClient(headers=headers, timeout=timeout, limits=limits, trust_env=False)

    async def __aenter__(self) -> Chat:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._client.__aexit__(*error)

    async def complete(self, call: Call) -> Reply:
        """Send a call, and again without what the model refuses of it; else without retries. Raises CallFailed."""
        start = time.monotonic()
        tries = 0
        while True:
            body = self.body(call)
            # An API that supports the header returns the same answer to a repeated request, and charges for it once.
            headers = {"idempotency-key": call.key if tries == 0 else f"{call.key}-{tries}"}
            try:
                response = await self.request("POST", "/chat/completions", json=body, headers=headers)
                return read_reply(_json(response), time.monotonic() - start)
            except CallFailed as error:
                if call.least is not None and call.least < call.max_tokens and too_large(error.status, error.said):
                    call = call._replace(max_tokens=call.least)
                elif tries >= _MOST_REFUSALS or not self.learn(error, body):
                    raise
            tries += 1

    def body(self, call: Call) -> dict[str, Any]:
        """The JSON body of a call's request, without what the model refused before."""
        made = {"model": self.model, "messages": call.messages, self._limit_field: call.max_tokens, **call.more}
        self.refusals.edit(made)
        return made

    def learn(self, error: CallFailed, sent: Collection[str]) -> bool:
        """Take note of what the model refused of the fields `sent`; whether the call is worth sending again."""
        return self.refusals.learn(error.status, error.param, error.said, sent)

    async def request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send a request to a path below the base URL; `more` are arguments of httpx.

        Raises CallFailed unless it returns 200.
        """
        try:
            response = await self._client.request(method, f"{self.base_url}{path}", **more)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol) as error:
            raise CallFailed(Failure.CONNECT, f"cannot connect to {self.base_url}: {type(error).__name__}") from None
        except httpx2.HTTPError as error:
            raise CallFailed(Failure.LOST, f"no complete answer from {self.base_url}: {type(error).__name__}") from None
        if response.status_code != 200:
            raise self.failure(response.status_code, _json(response), response.headers)
        return response

    def failure(self, status: int, body: Any, headers: Mapping[str, str]) -> CallFailed:
        """The failure that a response with another status than 200 means; `body` is its decoded JSON, None without."""
        text, code = self.error_message(body)
        message = f"{self.base_url} answered {status}{f': {text}' if text else ''}"
        kinds = {401: Failure.AUTH, 403: Failure.AUTH, 404: Failure.MISSING, 402: Failure.QUOTA}
        if code == "insufficient_quota":
            return CallFailed(Failure.QUOTA, message)
        if status == 429:
            return CallFailed(Failure.RATE, message, retry_after=retry_after(headers))
        if status >= 500 or status in (408, 409, 425):
            return CallFailed(Failure.SERVER, message, retry_after=retry_after(headers))
        if status < 400:
            return CallFailed(Failure.INVALID, message)
        return CallFailed(kinds.get(status, Failure.BAD), message, status=status, refusal=refusal(body))

    def error_message(self, body: Any) -> tuple[str, object]:
        """The message, shortened and without the API key, and the code in the body of an error."""
        error = body.get("error") if isinstance(body, dict) else None
        text = error.get("message") if isinstance(error, dict) else error
        message = " ".join(text.split()) if isinstance(text, str) else ""
        if self._key:
            message = message.replace(self._key, "[key]")
        code = error.get("code") if isinstance(error, dict) else None
        return message[:_MAX_MESSAGE], code


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds to wait that response headers name, as retry-after-ms or Retry-After (seconds or a date), or None."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        with contextlib.suppress(ValueError):
            seconds = float(headers.get(name, "")) / scale
            if math.isfinite(seconds):
                return max(seconds, 0.0)
    with contextlib.suppress(ValueError, TypeError):
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
    return None


def read_reply(body: Any, seconds: float) -> Reply:
    """The reply in the decoded body of a chat completion; `seconds` is its latency.

    Raises CallFailed where it is none.
    """
    invalid = CallFailed(Failure.INVALID, "the API answered 200, but not with a chat completion")
    body = _whole(body)
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text, declined = message.get("content"), message.get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise invalid from None
    if isinstance(text, list):
        text = "".join(part.get("text", "") for part in text if isinstance(part, dict))
    if not isinstance(text, str | None) or not isinstance(declined, str | None):
        raise invalid
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    reason, model, calls = choice.get("finish_reason"), body.get("model"), message.get("tool_calls")
    reasoning, text = split_thought(text or "", message.get("reasoning_content") or message.get("reasoning"))
    return Reply(
        text,
        declined or None,
        reason if isinstance(reason, str) else None,
        read_usage(body.get("usage")) or NO_USAGE,
        seconds,
        model if isinstance(model, str) else None,
        content if isinstance(content, list) else None,
        reasoning or None,
        [call for call in calls if isinstance(call, dict)] or None if isinstance(calls, list) else None,
    )


def _whole(value: Any) -> Any:
    """A decoded JSON value in which U+FFFD replaces each half of a character: no file could hold that in UTF-8."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(one) for name, one in value.items()}
    return value


def _bytes(value: object) -> int:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return len(text.encode("utf-8", "surrogatepass"))


def _json(response: httpx2.Response) -> Any:
    """The body, or None where it is not JSON."""
    with contextlib.suppress(ValueError):
        return response.json()
    return None
