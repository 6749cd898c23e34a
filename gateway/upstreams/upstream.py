"""The HTTP client to one upstream: pool, timeouts, headers, and the mapping of its errors to UpstreamFailure."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator

from breakeven.gateway.config.schema import Upstream as UpstreamConfig
from breakeven.gateway.errors import Cause, StaleConnection, UpstreamFailure
from breakeven.gateway.upstreams.circuit_breaker import Breaker
from breakeven.gateway.upstreams.connection import ConnectionLost
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.health import Health
from breakeven.gateway.upstreams.pool import Pool, Unreachable
from breakeven.gateway.upstreams.reported import Reported, reported
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.tokenizers import AUTO, VLLM, LocalTokenizer, ServerTokenizer, Tokenizer
from breakeven.gateway.wire.content_encoding import BrokenEncoding, UnknownEncoding
from breakeven.router.policy import Route

_MODELS_BYTES = 1 << 20
_TOKENIZE = "/tokenize"
# It lists every token's number beside the count.
_TOKENIZED_BYTES = 1 << 22
# Below vLLM's keep-alive of 5 seconds: a POST on a connection that the server is just closing fails.
_KEEP_ALIVE_SECONDS = 4.0


class Upstream:
    """One upstream: its connection pool, circuit breaker, health and number of requests in flight.

    `reported` is what its server says about the model, None while that is not known. `tokenizer` counts what it did not
    report, None without.
    """

    def __init__(self, route: Route, config: UpstreamConfig) -> None:
        self.route = route
        self.config = config
        self.breaker = Breaker(config.breaker)
        self.health = Health(route, self.breaker)
        self.in_flight = 0
        self.reported: Reported | None = None
        self.tokenizer = self._tokenizer(config)
        self._pool: Pool | None = None
        self._heads: dict[tuple[str, str, str | None], bytes] = {}
        self._key: str | None = None

    @property
    def available(self) -> bool:
        """Whether a request may be sent now: circuit not open, and fewer than `max_concurrency` in flight."""
        return self.breaker.allows and self.in_flight < self.config.max_concurrency

    def without_secrets(self, text: str) -> str:
        """The text with the upstream's key, URL and host replaced by "[removed]"."""
        url = self.config.base_url
        host = url.partition("//")[2].partition("/")[0]
        for secret in filter(None, (self.config.api_key(), url, host, host.rpartition(":")[0])):
            text = text.replace(secret, "[removed]")
        return text

    async def start(self) -> None:
        """Create the connection pool, in the running event loop. `max_concurrency` is the only limit of connections."""
        self._pool = Pool(
            self.config.base_url,
            connect_seconds=self.config.timeouts.connect_seconds,
            keep_seconds=_KEEP_ALIVE_SECONDS,
        )

    async def aclose(self) -> None:
        """Close the connection pool."""
        if self._pool is not None:
            self._pool.close()

    async def post(
        self, path: str, body: bytes, headers: dict[str, str], deadline: Deadline, *, fresh: bool = False
    ) -> UpstreamResponse:
        """Send a POST, on a new connection if `fresh`, and wait for the head of the response, of whatever status.

        Raises UpstreamFailure if none arrived, and its subclass StaleConnection if a reused connection was closed.
        """
        try:
            return await self._send("POST", path, headers, body, fresh=fresh)
        except UPSTREAM_ERRORS:
            with translated_errors(self.route, deadline):
                raise

    async def get(self, path: str, deadline: Deadline) -> UpstreamResponse:
        """Send a GET and wait for the head of the response, of whatever status. Raises UpstreamFailure if none came."""
        try:
            return await self._send("GET", path, {}, b"", fresh=True)
        except UPSTREAM_ERRORS:
            with translated_errors(self.route, deadline):
                raise

    def release(self, response: UpstreamResponse | None, deadline: Deadline, *, reusable: bool = False) -> None:
        """End one attempt: its deadline, its place in `in_flight`, and its response.

        `reusable`: the last event was read, so that the connection may be kept; see `UpstreamResponse.close`.
        """
        deadline.close()
        self.in_flight -= 1
        if response is not None:
            response.close(complete=reusable)

    async def fetch_reported(self) -> Reported | None:
        """What the upstream's /v1/models says about the configured model; None if that is not listed. Never raises for
        an upstream that fails.
        """
        try:
            async with asyncio.timeout(10):
                response = await self._send("GET", "/models", {}, b"")
                try:
                    models = json.loads(await response.read(_MODELS_BYTES))["data"]
                finally:
                    response.close()
        except (OSError, TimeoutError, UpstreamFailure, ValueError, KeyError, TypeError):
            return None
        for model in models if isinstance(models, list) else []:
            if isinstance(model, dict) and model.get("id") == self.config.model:
                return reported(model)
        return None

    def _tokenizer(self, config: UpstreamConfig) -> Tokenizer | None:
        if config.tokenizer is None:
            return None
        if config.tokenizer in (AUTO, VLLM):
            return ServerTokenizer(config.model, self._tokenize, lambda: config.tokenizer == VLLM or self._is_vllm)
        return LocalTokenizer(config.tokenizer)

    @property
    def _is_vllm(self) -> bool:
        return self.reported is not None and self.reported.owner == VLLM

    async def _tokenize(self, document: bytes) -> tuple[int, bytes]:
        """Status and body of the answer of vLLM's /tokenize, which is beside /v1. On a connection of its own.

        Raises UpstreamFailure, OSError and ValueError.
        """
        response = await self._send("POST", _TOKENIZE, {"content-type": "application/json"}, document, fresh=True)
        try:
            return response.status, await response.read(_TOKENIZED_BYTES)
        finally:
            response.close()

    async def _send(
        self, method: str, path: str, headers: dict[str, str], body: bytes, *, fresh: bool = False
    ) -> UpstreamResponse:
        assert self._pool is not None, "start() was not called"
        head = self._head(self._pool, method, path)
        head += "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("latin-1")
        head += b"content-length: %d\r\n\r\n" % len(body) if method == "POST" else b"\r\n"
        connection = await self._pool.take(fresh=fresh)
        try:
            connection.send(head, body)
            await connection.head()
        except BaseException as error:
            connection.close()
            # Closed while it was idle, so the upstream has not processed the request.
            if connection.used and not fresh and not connection.answered and isinstance(error, ConnectionLost):
                raise StaleConnection(
                    502,
                    f"The {self.route} closed the connection.",
                    retryable=True,
                    down=False,
                    cause=Cause.STALE_CONNECTION,
                ) from None
            raise
        response = UpstreamResponse(connection)
        if self._key is not None and response.request_id is not None and self._key in response.request_id:
            response.request_id = None
        return response

    def _head(self, pool: Pool, method: str, path: str) -> bytes:
        """The request line and the headers common to all requests, encoded once per method, path and key."""
        self._key = key = self.config.api_key()
        head = self._heads.get((method, path, key))
        if head is None:
            base = pool.path.removesuffix("/v1") if path == _TOKENIZE else pool.path
            lines = [f"{method} {base}{path} HTTP/1.1", "accept-encoding: identity", "user-agent: breakeven"]
            if key is not None:
                lines.append(f"authorization: Bearer {key}")
            if any("\n" in line or "\r" in line for line in lines):
                raise ValueError("line break in the key or the path")
            head = "\r\n".join(lines).encode() + b"\r\nhost: " + pool.host_header + b"\r\n"
            self._heads[(method, path, key)] = head
        return head


# What `translated_errors` handles. Callers enter it only after catching one of these: the context manager costs time.
UPSTREAM_ERRORS = (asyncio.CancelledError, OSError, ValueError)


@contextlib.contextmanager
def translated_errors(route: Route, deadline: Deadline) -> Iterator[None]:
    """Raise UpstreamFailure for UPSTREAM_ERRORS inside the block, without host, URL or key of the upstream in its text.

    A cancellation that is not the deadline's is raised unchanged.
    """
    try:
        yield
    except asyncio.CancelledError:
        if not deadline.take_cancellation():
            raise
        raise UpstreamFailure(
            504,
            f"The {route} did not answer in time.",
            retryable=True,
            down=True,
            # Only an attempt knows whether it has an event already; see `Attempt.fail`.
            cause=Cause.TOTAL_TIMEOUT if deadline.at_total else Cause.IDLE_TIMEOUT,
            type="timeout_error",
            code="timeout",
        ) from None
    except Unreachable as error:
        raise UpstreamFailure(
            502,
            f"The {route} cannot be reached.",
            retryable=True,
            down=True,
            cause=error.cause,
            detail=error.detail,
            code="upstream_unreachable",
        ) from None
    except (BrokenEncoding, UnknownEncoding):
        raise UpstreamFailure(
            502,
            f"The {route} compressed its answer, although it was asked not to, in a way that cannot be decoded.",
            retryable=True,
            down=True,
            cause=Cause.PROTOCOL,
            code="upstream_encoding",
        ) from None
    except (OSError, ValueError) as error:
        raise UpstreamFailure(
            502,
            f"The connection to the {route} broke.",
            retryable=True,
            down=True,
            cause=getattr(error, "cause", Cause.PROTOCOL),
            detail=getattr(error, "detail", ""),
            code="upstream_disconnected",
        ) from None
