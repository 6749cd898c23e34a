"""The HTTP client to one upstream: pool, timeouts, headers, and its failures in our words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import aiohttp
import httpx2
from aiohttp.connector import Connection
from httpx_aiohttp.httpx2 import AiohttpTransport

from gateway.breaker import Breaker
from gateway.config import Upstream as UpstreamConfig
from gateway.deadline import Deadline
from gateway.errors import StaleConnection, UpstreamFailure
from router.policy import Route

# Of the upstream's answer only these reach the client; the rest would tell about the upstream's inside.
_ANSWER_HEADERS = re.compile(
    r"content-type|retry-after|retry-after-ms|x-ratelimit-.*|openai-processing-ms|openai-version"
)
_RETRYABLE = frozenset({408, 429, 529})
_ERROR_BODY_BYTES = 1 << 20
# Below the 5 seconds after which vLLM's server closes: a POST on a connection that is just being closed fails.
_KEEP_ALIVE_SECONDS = 4.0
_CONTEXT_OVERFLOW = re.compile(
    r"maximum context length|max_model_len|context_length_exceeded|context window|too many tokens"
    r"|longer than the maximum",
    re.IGNORECASE,
)


# Whether the connection that this task's request went out on had been used before.
_REUSED: ContextVar[bool] = ContextVar("breakeven_reused_connection", default=False)


class _Connector(aiohttp.TCPConnector):
    """A pool that tells a request whether its connection is a new one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[asyncio.BaseProtocol] = WeakSet()

    async def connect(self, *arguments: Any, **options: Any) -> Connection:
        connection = await super().connect(*arguments, **options)
        protocol = connection.protocol
        if protocol is not None:
            _REUSED.set(protocol in self._used)
            self._used.add(protocol)
        return connection


class Answer:
    """An upstream's answer whose head is here: status, headers for the client, and the body in segments."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers = {name: value for name, value in response.headers.items() if _ANSWER_HEADERS.fullmatch(name)}
        self.content_type = response.headers.get("content-type", "")

    @property
    def streams(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.content_type.partition(";")[0].strip().lower() == "text/event-stream"

    def segments(self) -> AsyncIterator[bytes]:
        """The body as it comes, decoded where the upstream compressed it against our wish."""
        if self._response.headers.get("content-encoding", "identity").lower() in ("", "identity"):
            stream = self._response.stream
            assert isinstance(stream, httpx2.AsyncByteStream)
            return stream.__aiter__()
        return self._response.aiter_bytes()

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body, or its first `limit` bytes."""
        body = bytearray()
        async for segment in self.segments():
            body += segment
            if limit is not None and len(body) >= limit:
                return bytes(body[:limit])
        return bytes(body)

    async def aclose(self) -> None:
        """Give the connection back, or close it where the body was not read to its end."""
        with contextlib.suppress(Exception):
            await self._response.aclose()


class Upstream:
    """One upstream: calls it, knows whether it may be called, and counts what is in flight."""

    def __init__(self, route: Route, config: UpstreamConfig) -> None:
        self.route = route
        self.config = config
        self.breaker = Breaker(config.breaker)
        self.in_flight = 0
        self.context_window: int | None = getattr(config, "context_window", None)
        self._transport: AiohttpTransport | None = None
        self._fresh: AiohttpTransport | None = None
        self._urls: dict[str, httpx2.URL] = {}

    @property
    def available(self) -> bool:
        """Whether a request may be sent now: circuit closed or half open, and a place free."""
        return self.breaker.allows and self.in_flight < self.config.max_concurrency

    def without_secrets(self, text: str) -> str:
        """A text of the upstream without its key and its address."""
        url = self.config.base_url
        host = url.partition("//")[2].partition("/")[0]
        for secret in filter(None, (self.config.api_key(), url, host, host.rpartition(":")[0])):
            text = text.replace(secret, "[removed]")
        return text

    async def start(self) -> None:
        """Open the pool. It has no limit of its own: `max_concurrency` is the one limit."""
        self._transport = _transport(_Connector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS))
        self._fresh = _transport(aiohttp.TCPConnector(limit=0, force_close=True))

    async def aclose(self) -> None:
        """Close the pool."""
        for transport in (self._transport, self._fresh):
            if transport is not None:
                await transport.aclose()

    async def post(
        self, path: str, body: bytes, headers: dict[str, str], deadline: Deadline, *, fresh: bool = False
    ) -> Answer:
        """Send one request, on a new connection where it must be a `fresh` one, and wait for the answer's head.

        Raises UpstreamFailure where none came, StaleConnection where that says nothing about the upstream.
        A status of 400 and above is an Answer.
        """
        with failures(self.route, deadline):
            try:
                return Answer(await self._send("POST", path, headers, body, fresh=fresh))
            except (httpx2.TransportError, aiohttp.ClientError) as error:
                if fresh or not (_REUSED.get() and _disconnected(error)):
                    raise
                raise StaleConnection(
                    502, f"The {self.route} closed the connection.", retryable=True, down=False
                ) from None

    async def fetch_context_window(self) -> int | None:
        """`max_model_len` of our model in the upstream's /v1/models, None where it says nothing."""
        try:
            async with asyncio.timeout(10):
                answer = Answer(await self._send("GET", "/models", {}, b""))
                try:
                    models = json.loads(await answer.read(_ERROR_BODY_BYTES))["data"]
                finally:
                    await answer.aclose()
        except (httpx2.HTTPError, aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError):
            return None
        for model in models if isinstance(models, list) else []:
            if isinstance(model, dict) and model.get("id") == self.config.model:
                window = model.get("max_model_len")
                return window if isinstance(window, int) and window > 0 else None
        return None

    async def _send(
        self, method: str, path: str, headers: dict[str, str], body: bytes, *, fresh: bool = False
    ) -> httpx2.Response:
        assert self._transport is not None, "start() was not called"
        assert self._fresh is not None
        head = {"accept-encoding": "identity", "user-agent": "breakeven", **headers}
        key = self.config.api_key()
        if key is not None:
            head["authorization"] = f"Bearer {key}"
        # Parsing a URL and normalising names cost more than the rest of a request: bytes are taken as they are.
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx2.URL(self.config.base_url + path)
        request = httpx2.Request(
            method,
            url,
            headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.items()],
            content=body or None,
            extensions={"timeout": {"connect": self.config.timeouts.connect_seconds}},
        )
        transport = self._fresh if fresh else self._transport
        response: httpx2.Response = await transport.handle_async_request(request)
        return response


def _transport(connector: aiohttp.TCPConnector) -> AiohttpTransport:
    jar = aiohttp.DummyCookieJar()
    return AiohttpTransport(client=aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False))


def _disconnected(error: Exception) -> bool:
    cause = error.__cause__ or error
    lost = aiohttp.ServerDisconnectedError | aiohttp.ClientConnectionResetError | aiohttp.ClientOSError
    return isinstance(cause, lost) and not isinstance(cause, aiohttp.ClientConnectorError)


@contextlib.contextmanager
def failures(route: Route, deadline: Deadline) -> Iterator[None]:
    """Turn what a client library raises into UpstreamFailure, without host, URL or key of the upstream."""
    try:
        yield
    except asyncio.CancelledError:
        if not deadline.take():
            raise
        raise UpstreamFailure(
            504, f"The {route} did not answer in time.", retryable=True, down=True, type="timeout_error", code="timeout"
        ) from None
    except (httpx2.ConnectError, httpx2.ConnectTimeout, aiohttp.ClientConnectorError):
        raise UpstreamFailure(
            502, f"The {route} cannot be reached.", retryable=True, down=True, code="upstream_unreachable"
        ) from None
    except (httpx2.HTTPError, aiohttp.ClientError, OSError, httpx2.StreamError, ValueError):
        raise UpstreamFailure(
            502, f"The connection to the {route} broke.", retryable=True, down=True, code="upstream_disconnected"
        ) from None


async def refusal(upstream: Upstream, answer: Answer) -> UpstreamFailure:
    """An answer that is no success as the failure that the client gets, in OpenAI's shape."""
    try:
        body = await answer.read(_ERROR_BODY_BYTES)
    except (httpx2.HTTPError, aiohttp.ClientError, OSError):
        body = b""
    return refused(upstream, answer.status, _error_object(body), answer.headers)


def refused(upstream: Upstream, status: int, error: Any, headers: dict[str, str] | None = None) -> UpstreamFailure:
    """An error object of an upstream, and its status, as the failure that the client gets.

    Nothing in it tells the upstream's key or address. A status that is neither success nor error, such as a
    redirect, is a bad gateway.
    """
    route = upstream.route
    if status in (401, 403):
        return UpstreamFailure(
            502,
            f"The {route} refused the gateway's credentials; the operator must check the key in its environment.",
            upstream_status=status,
            retryable=False,
            down=False,
            code="upstream_auth",
        )
    fields = error if isinstance(error, dict) else {"message": error}
    message = fields.get("message")
    if not isinstance(message, str) or not message or status < 400:
        message = f"The {route} answered with status {status}."
    message = upstream.without_secrets(message)
    kind, param, code = fields.get("type"), fields.get("param"), fields.get("code")
    overflow = status == 400 and (code == "context_length_exceeded" or bool(_CONTEXT_OVERFLOW.search(message)))
    passed = {k: v for k, v in (headers or {}).items() if k != "content-type"}
    return UpstreamFailure(
        status if status >= 400 else 502,
        message,
        upstream_status=status,
        retryable=status in _RETRYABLE or status >= 500 or status < 400 or overflow,
        down=(status >= 500 and status != 501) or status < 400,
        type=kind if isinstance(kind, str) else "upstream_error",
        param=param if isinstance(param, str) else None,
        code="context_length_exceeded" if overflow else None if code is None else str(code),
        headers=passed,
    )


def _error_object(body: bytes) -> Any:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        return value.get("error", value.get("detail", value if "message" in value else None))
    return None
