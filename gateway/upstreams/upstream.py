"""The HTTP client to one upstream: pool, timeouts, headers, and the mapping of its errors to UpstreamFailure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from breakeven.gateway.config.schema import Upstream as UpstreamConfig
from breakeven.gateway.errors import StaleConnection, UpstreamFailure
from breakeven.gateway.upstreams.circuit_breaker import Breaker
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.pool import Unreachable
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.transports.choice import open_transport
from breakeven.gateway.upstreams.transports.interface import Stale, Transport
from breakeven.router.policy import Route

_RETRYABLE = frozenset({408, 429, 529})
_ERROR_BODY_BYTES = 1 << 20
_CONTEXT_OVERFLOW = re.compile(
    r"maximum context length|max_model_len|context_length_exceeded|context window|too many tokens"
    r"|longer than the maximum",
    re.IGNORECASE,
)


class Upstream:
    """One upstream: its connection pool, circuit breaker and number of requests in flight.

    `context_window` is in tokens, None while it is not known.
    """

    def __init__(self, route: Route, config: UpstreamConfig) -> None:
        self.route = route
        self.config = config
        self.breaker = Breaker(config.breaker)
        self.in_flight = 0
        self.context_window: int | None = getattr(config, "context_window", None)
        # Names of the client headers that are passed to this upstream.
        self.passed_headers = config.passed_headers()
        self._transport: Transport | None = None

    @property
    def available(self) -> bool:
        """Whether a request may be sent now: circuit not open, and fewer than `max_concurrency` in flight."""
        return self.breaker.allows and self.in_flight < self.config.max_concurrency

    def without_secrets(self, text: str) -> str:
        """The text with the upstream's key and other secrets, URL and host replaced by "[removed]"."""
        url = self.config.base_url
        host = url.partition("//")[2].partition("/")[0]
        for secret in filter(None, (*self.config.secrets(), url, host, host.rpartition(":")[0])):
            text = text.replace(secret, "[removed]")
        return text

    async def start(self) -> None:
        """Create the transport, in the running event loop. Raises ConfigError for what it needs and cannot use."""
        self._transport = open_transport(self.route.value, self.config, self.config.timeouts.connect_seconds)

    async def aclose(self) -> None:
        """Close the transport's connections."""
        if self._transport is not None:
            await self._transport.aclose()

    async def post(
        self, path: str, body: bytes, headers: dict[str, str], deadline: Deadline, *, fresh: bool = False
    ) -> UpstreamResponse:
        """Send a POST, on a new connection if `fresh`, and wait for the head of the response, of whatever status.

        Raises UpstreamFailure if none arrived, and its subclass StaleConnection if a reused connection was closed.
        """
        assert self._transport is not None, "start() was not called"
        try:
            return UpstreamResponse(await self._transport.send("POST", path, headers, body, fresh=fresh))
        except Stale:
            raise StaleConnection(502, f"The {self.route} closed the connection.", retryable=True, down=False) from None
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

    async def fetch_context_window(self) -> int | None:
        """The configured model's `max_model_len` (tokens) from the upstream's /v1/models; None if not reported. Never
        raises for an upstream that fails.
        """
        assert self._transport is not None, "start() was not called"
        try:
            async with asyncio.timeout(10):
                response = UpstreamResponse(await self._transport.send("GET", "/models", {}, b"", fresh=False))
                try:
                    models = json.loads(await response.read(_ERROR_BODY_BYTES))["data"]
                finally:
                    response.close()
        except (OSError, TimeoutError, UpstreamFailure, ValueError, KeyError, TypeError):
            return None
        for model in models if isinstance(models, list) else []:
            if isinstance(model, dict) and model.get("id") == self.config.model:
                window = model.get("max_model_len")
                return window if isinstance(window, int) and window > 0 else None
        return None


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
            504, f"The {route} did not answer in time.", retryable=True, down=True, type="timeout_error", code="timeout"
        ) from None
    except Unreachable:
        raise UpstreamFailure(
            502, f"The {route} cannot be reached.", retryable=True, down=True, code="upstream_unreachable"
        ) from None
    except (OSError, ValueError):
        raise UpstreamFailure(
            502, f"The connection to the {route} broke.", retryable=True, down=True, code="upstream_disconnected"
        ) from None


def unbilled(failure: UpstreamFailure) -> bool:
    """Whether an attempt that failed like this costs nothing: it never arrived, or was refused by an error status."""
    refused = failure.upstream_status is not None and not 200 <= failure.upstream_status < 300
    return refused or isinstance(failure, StaleConnection) or failure.code == "upstream_unreachable"


async def response_failure(upstream: Upstream, response: UpstreamResponse) -> UpstreamFailure:
    """The failure for an error response, whose body is read: see `error_failure`."""
    try:
        body = await response.read(_ERROR_BODY_BYTES)
    except (OSError, ValueError):
        body = b""
    return error_failure(upstream, response.status, _error_object(body), response.headers)


def error_failure(
    upstream: Upstream, status: int, error: Any, headers: dict[str, str] | None = None
) -> UpstreamFailure:
    """The failure that the client gets for an upstream's error object, HTTP status and response headers.

    The upstream's key and address are removed from the message. A status that is neither success nor error, such as a
    redirect, becomes 502.
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
