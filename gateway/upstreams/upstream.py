"""The HTTP client to one upstream: pool, timeouts, headers, and the mapping of its errors to UpstreamFailure."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator

from breakeven.gateway.accounting.record import upstream_label
from breakeven.gateway.config.upstream import Upstream as UpstreamConfig
from breakeven.gateway.errors import Cause, StaleConnection, TooLong, UpstreamFailure
from breakeven.gateway.upstreams.circuit_breaker import Breaker
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.health import Health
from breakeven.gateway.upstreams.learning import Learning
from breakeven.gateway.upstreams.pool import Unreachable
from breakeven.gateway.upstreams.reported import Reported, reported
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.tokenizers import AUTO, VLLM, LocalTokenizer, ServerTokenizer, Tokenizer
from breakeven.gateway.upstreams.transports.choice import open_transport
from breakeven.gateway.upstreams.transports.interface import TOKENIZE, Stale, Transport
from breakeven.gateway.wire.content_encoding import BrokenEncoding, UnknownEncoding
from breakeven.gateway.wire.refusals import Refusals
from breakeven.router.policy import Route

MESSAGES = "/messages"
# What a server answers that has it; others know no such path.
_INCOMPLETE = frozenset({400, 422})
_VERSION_CHARACTERS = 200
_MODELS_BYTES = 1 << 20
# It lists every token's number beside the count.
_TOKENIZED_BYTES = 1 << 22


class Upstream:
    """One upstream: its connection pool, circuit breaker, health and number of requests in flight.

    `provider` is the config's name of it where its route has several, "" for the first of them, and always that of a
    further model. `label` names it in metrics: its route, after a colon the provider; a further model by its name.
    `title` is what the log calls it. `reported` is what its server says about the model, None while that is not known.
    `tokenizer` counts what it did not report, None without. `has_messages`: whether its server was found to have
    /v1/messages, None while that is not known. `takes_logprobs`: false once it refused a request only since that asked
    for log-probabilities. `refusals`: what else its model refused of requests that the gateway itself made.
    """

    def __init__(self, route: Route, config: UpstreamConfig, provider: str = "") -> None:
        self.route = route
        self.provider = provider
        self.label = upstream_label(route, provider)
        self.title = f"model {provider}" if route is Route.MODEL else self.label
        self.config = config
        self.breaker = Breaker(config.breaker)
        self.health = Health(self.title, self.breaker)
        self.in_flight = 0
        self.reported: Reported | None = None
        # When to ask for that again.
        self.learning = Learning()
        self.has_messages: bool | None = None
        self.takes_logprobs = True
        self.refusals = Refusals()
        self.tokenizer = self._tokenizer(config)
        # Names of the client headers that are passed to this upstream, in order and as a set.
        self.passed_headers = config.passed_headers()
        self.passes = frozenset(self.passed_headers)
        self._transport: Transport | None = None
        self._secrets: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        """Whether a request may be sent now: circuit not open, and fewer than `max_concurrency` in flight."""
        return self.breaker.allows and self.in_flight < self.config.max_concurrency

    @property
    def version(self) -> str:
        """Which model answers, in at most 200 characters: its name, after an @ the config's revision; of the student in
        brackets what its server loaded, if that is called otherwise, and of an adapter the model that it is for.
        """
        named, said = self.config.named, self.reported
        if said is None or self.route is not Route.STUDENT or said.root in (None, "", self.config.model):
            return named[:_VERSION_CHARACTERS]
        loaded = said.root if said.parent in (None, "", said.root) else f"{said.root} on {said.parent}"
        return f"{named} ({loaded})"[:_VERSION_CHARACTERS]

    def without_secrets(self, text: str) -> str:
        """The text with the upstream's key and other secrets, URL and host replaced by "[removed]"."""
        url = self.config.base_url
        host = url.partition("//")[2].partition("/")[0]
        for secret in filter(None, (*self.config.secrets(), url, host, host.rpartition(":")[0])):
            text = text.replace(secret, "[removed]")
        return text

    async def start(self) -> None:
        """Create the transport, in the running event loop. Raises ConfigError for what it needs and cannot use."""
        self._transport = open_transport(self.title, self.config, self.config.timeouts.connect_seconds)
        self._secrets = tuple(self.config.secrets())

    async def aclose(self) -> None:
        """Close the transport's connections."""
        if self._transport is not None:
            await self._transport.aclose()

    async def post(
        self, path: str, body: bytes, headers: dict[str, str], deadline: Deadline, *, fresh: bool = False
    ) -> UpstreamResponse:
        """Send a POST, on a new connection if `fresh`, and wait for the head of the response, of whatever status.

        Raises as `request` does.
        """
        return await self.request("POST", path, body, headers, deadline, fresh=fresh)

    async def request(
        self, method: str, path: str, body: bytes, headers: dict[str, str], deadline: Deadline, *, fresh: bool = False
    ) -> UpstreamResponse:
        """Send a request, whose body is empty unless it is a POST; else as `post`.

        Raises UpstreamFailure if no head arrived, and its subclass StaleConnection if a reused connection was closed.
        """
        try:
            return await self._send(method, path, headers, body, fresh=fresh)
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

    @property
    def speaks_messages(self) -> bool:
        """Whether it gets requests of the Messages API as they came; else they are said in chat completions."""
        return self.config.messages == "native" or (self.config.messages == "auto" and bool(self.has_messages))

    async def find_messages(self) -> None:
        """Learn whether a vLLM has /v1/messages, by a request that it refuses as incomplete. Never raises for an
        upstream that fails.
        """
        if self.config.messages != "auto" or self.has_messages is not None:
            return
        if self.reported is None:
            self.reported = await self.fetch_reported()
        if not self._is_vllm:
            return
        try:
            async with asyncio.timeout(10):
                response = await self._send("POST", MESSAGES, {"content-type": "application/json"}, b"{}", fresh=True)
                response.close()
        except (OSError, TimeoutError, UpstreamFailure, ValueError):
            return
        self.has_messages = response.status in _INCOMPLETE

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
        response = await self._send("POST", TOKENIZE, {"content-type": "application/json"}, document, fresh=True)
        try:
            return response.status, await response.read(_TOKENIZED_BYTES)
        finally:
            response.close()

    async def _send(
        self, method: str, path: str, headers: dict[str, str], body: bytes, *, fresh: bool = False
    ) -> UpstreamResponse:
        """Raises StaleConnection, and UPSTREAM_ERRORS."""
        assert self._transport is not None, "start() was not called"
        try:
            response = UpstreamResponse(await self._transport.send(method, path, headers, body, fresh=fresh))
        except Stale:
            raise StaleConnection(
                502,
                f"The {self.route} closed the connection.",
                retryable=True,
                down=False,
                cause=Cause.STALE_CONNECTION,
            ) from None
        if response.request_id is not None and any(secret in response.request_id for secret in self._secrets):
            response.request_id = None
        return response


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
        raise _unreachable(route, error) from None
    except (BrokenEncoding, UnknownEncoding):
        raise UpstreamFailure(
            502,
            f"The {route} compressed its answer, although it was asked not to, in a way that cannot be decoded.",
            retryable=True,
            down=True,
            cause=Cause.PROTOCOL,
            code="upstream_encoding",
        ) from None
    except TooLong as error:
        raise UpstreamFailure(
            502,
            f"The answer of the {route} is longer than its max_answer_bytes or max_event_bytes allows.",
            retryable=True,
            down=False,
            cause=Cause.INVALID_ANSWER,
            detail=str(error),
            code="answer_too_long",
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


def _unreachable(route: Route, error: Unreachable) -> UpstreamFailure:
    ours = error.cause is Cause.NO_FILES
    return UpstreamFailure(
        503 if ours else 502,
        "The gateway has no file left for a connection; try again." if ours else f"The {route} cannot be reached.",
        retryable=True,
        # What this machine lacks is nothing against the upstream.
        down=not ours,
        cause=error.cause,
        detail=error.detail,
        code="no_files_left" if ours else "upstream_unreachable",
        headers={"retry-after": "1"} if ours else None,
    )
