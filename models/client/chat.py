"""One call to a chat model behind an OpenAI-compatible API: the reply, or how it failed."""

from __future__ import annotations

import contextlib
import email.utils
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import httpx2

from breakeven.gateway.accounting.usage import NO_USAGE, Usage, read_usage
from breakeven.models.errors import DistillError

Message = dict[str, Any]
_SAID = 200
# A token is at least one byte in every vocabulary in use; templates add some to each message and call.
_TOKENS_PER_MESSAGE = 64
_TOKENS_PER_CALL = 256


class Call(NamedTuple):
    """What to ask. `key` names it for ever; `more` are further fields of the request."""

    key: str
    messages: list[Message]
    max_tokens: int
    more: Mapping[str, Any] = {}

    def prompt_bound(self) -> int:
        """More prompt tokens than this call can have."""
        size = sum(len(str(m.get("content") or "").encode("utf-8", "surrogatepass")) for m in self.messages)
        return size + _TOKENS_PER_MESSAGE * len(self.messages) + _TOKENS_PER_CALL


class Reply(NamedTuple):
    """What came back. `logprobs` is the API's list of tokens with their top alternatives, if asked for."""

    text: str
    refusal: str | None
    finish_reason: str | None
    usage: Usage
    seconds: float
    model: str | None
    logprobs: list[dict[str, Any]] | None


class Failure(StrEnum):
    """How a call failed."""

    AUTH = "auth"  # 401, 403
    MISSING = "missing"  # 404
    QUOTA = "quota"  # the account has no money left
    BAD = "bad"  # the API refuses this request: 400, 413, 422
    RATE = "rate"  # 429
    SERVER = "server"  # 5xx, 529
    CONNECT = "connect"  # nothing was sent
    LOST = "lost"  # sent, and no whole answer came
    NONSENSE = "nonsense"  # 200 with something else than a chat completion


class CallFailed(Exception):
    """One call failed. `maybe_paid`: the API may have counted it; `retry_after` in seconds, if it said so."""

    def __init__(self, kind: Failure, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        self.maybe_paid = kind in (Failure.LOST, Failure.NONSENSE)


class Chat:
    """A model behind an API. To be used as a context: `async with Chat(...) as chat`.

    `limit_field` is the field that limits the output: `max_tokens` nearly everywhere,
    `max_completion_tokens` for OpenAI's reasoning models.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 120.0,
        limit_field: str = "max_tokens",
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise DistillError("the base URL must start with http:// or https://, such as https://api.example.com/v1")
        self.model = model
        self.base_url = base_url.rstrip("/")
        self._key = api_key
        self._limit_field = limit_field
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx2.Timeout(timeout_seconds, connect=10.0, pool=None)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=256)
        self._client = httpx2.AsyncClient(headers=headers, timeout=timeout, limits=limits, trust_env=False)

    async def __aenter__(self) -> Chat:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._client.__aexit__(*error)

    async def ask(self, call: Call) -> Reply:
        """Send one request, once. Raises CallFailed."""
        start = time.monotonic()
        # An API that knows the header gives the same answer to a second sending, and counts it once.
        response = await self.request(
            "POST", "/chat/completions", json=self.body(call), headers={"idempotency-key": call.key}
        )
        return read_reply(_json(response), time.monotonic() - start)

    def body(self, call: Call) -> dict[str, Any]:
        """The request of a call."""
        return {"model": self.model, "messages": call.messages, self._limit_field: call.max_tokens, **call.more}

    async def request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """One request to a path of the API; `more` as httpx takes it. Raises CallFailed where it is not 200."""
        try:
            response = await self._client.request(method, f"{self.base_url}{path}", **more)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol) as error:
            raise CallFailed(Failure.CONNECT, f"cannot connect to {self.base_url}: {type(error).__name__}") from None
        except httpx2.HTTPError as error:
            raise CallFailed(Failure.LOST, f"no whole answer from {self.base_url}: {type(error).__name__}") from None
        if response.status_code != 200:
            raise self.failure(response.status_code, _json(response), response.headers)
        return response

    def failure(self, status: int, body: Any, headers: Mapping[str, str]) -> CallFailed:
        """What an answer of another status than 200 means."""
        said, code = self.said(body)
        message = f"{self.base_url} answered {status}{f': {said}' if said else ''}"
        kinds = {401: Failure.AUTH, 403: Failure.AUTH, 404: Failure.MISSING, 402: Failure.QUOTA}
        if code == "insufficient_quota":
            return CallFailed(Failure.QUOTA, message)
        if status == 429:
            return CallFailed(Failure.RATE, message, retry_after=retry_after(headers))
        if status >= 500 or status in (408, 409, 425):
            return CallFailed(Failure.SERVER, message, retry_after=retry_after(headers))
        if status < 400:
            return CallFailed(Failure.NONSENSE, message)
        return CallFailed(kinds.get(status, Failure.BAD), message)

    def said(self, body: Any) -> tuple[str, object]:
        """The API's own words in a body of an error, cut short and without the key; and its error code."""
        error = body.get("error") if isinstance(body, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        said = " ".join(message.split()) if isinstance(message, str) else ""
        if self._key:
            said = said.replace(self._key, "[key]")
        code = error.get("code") if isinstance(error, dict) else None
        return said[:_SAID], code


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the API asks to wait, from retry-after-ms or Retry-After (seconds or a date)."""
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
    """The reply in the body of a chat completion. Raises CallFailed where it is none."""
    nonsense = CallFailed(Failure.NONSENSE, "the API answered 200 with something else than a chat completion")
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise nonsense from None
    if isinstance(text, list):
        text = "".join(part.get("text", "") for part in text if isinstance(part, dict))
    if not isinstance(text, str | None) or not isinstance(refusal, str | None):
        raise nonsense
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    reason, model = choice.get("finish_reason"), body.get("model")
    return Reply(
        text or "",
        refusal or None,
        reason if isinstance(reason, str) else None,
        read_usage(body.get("usage")) or NO_USAGE,
        seconds,
        model if isinstance(model, str) else None,
        content if isinstance(content, list) else None,
    )


def _json(response: httpx2.Response) -> Any:
    """The body, or None where it is not JSON."""
    with contextlib.suppress(ValueError):
        return response.json()
    return None
