"""The exception tree, and the mapping of a failed request to an OpenAI error body.

BreakevenError
├── ConfigError               breakeven.yaml or the environment is invalid: exit code 2
├── LedgerError               the ledger cannot be opened, read or written
├── NotObserved               the student's replicas cannot be counted now
├── LearningFailed            a router could not be learned from comparisons
├── VerdictCutOff             a judge had too few tokens for a verdict
└── RequestError              one request fails with an OpenAI error body
    ├── OverBudget            the key's budget does not allow it
    ├── Untranslatable        the API that an upstream speaks cannot express the request
    └── UpstreamFailure       an attempt failed before the first byte reached the client
        └── StaleConnection   the upstream closed an idle connection while it was being reused
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Cause(StrEnum):
    """Why an attempt at an upstream failed."""

    # What each means, and how to mend it, is in upstreams/causes.py.
    REFUSED = "refused"
    DNS = "dns"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_WRONG_NAME = "tls_wrong_name"
    TLS_EXPIRED = "tls_expired"
    TLS = "tls"
    PROXY = "proxy"
    FIRST_EVENT_TIMEOUT = "first_event_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    RESET = "reset"
    CLOSED = "closed"
    STALE_CONNECTION = "stale_connection"
    PROTOCOL = "protocol"
    INVALID_ANSWER = "invalid_answer"
    INCOMPLETE = "incomplete"
    ERROR_EVENT = "error_event"
    KEY_REFUSED = "key_refused"
    MODEL_NOT_FOUND = "model_not_found"
    QUOTA_SPENT = "quota_spent"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    REDIRECT = "redirect"
    CONTEXT_OVERFLOW = "context_overflow"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"


class BreakevenError(Exception):
    """Base class of all errors that Breakeven raises deliberately."""


class ConfigError(BreakevenError):
    """The config is invalid. `faults` has one line per fault: the key's path, what is wrong and how to fix it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class LedgerError(BreakevenError):
    """The ledger cannot be opened, read or written."""


class NotObserved(BreakevenError):
    """The number of the student's replicas is not known now; the message names the config's key and what is wrong."""


class LearningFailed(BreakevenError):
    """A router could not be learned from comparisons. The message says why and holds no prompt."""


class RequestError(BreakevenError):
    """One request fails: HTTP status, the four fields of an OpenAI error, and further response headers."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The error as OpenAI's JSON body, encoded in UTF-8."""
        return msgspec.json.encode(
            {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
        )


class OverBudget(RequestError):
    """The budget of the request's key is spent, or what is left of it is not enough for what the request may cost."""


class Untranslatable(RequestError):
    """The API that an upstream speaks cannot express the request; another upstream's API may."""


class TooLong(ValueError):
    """An answer, or one event of it, has more bytes than the config of its upstream allows."""


def too_slow(seconds: float) -> RequestError:
    """The 408 for a request body that did not arrive within `seconds`. OpenAI's SDKs retry it."""
    return RequestError(
        408,
        f"The body did not arrive within {seconds:g} seconds; send it faster, or raise server.read_seconds.",
        code="request_timeout",
        headers={"connection": "close"},
    )


def bodies_full() -> RequestError:
    """The 503 for a request body that arrives while others take all the memory that bodies may have."""
    return RequestError(
        503,
        "The bodies of running requests take all the memory that server.max_bodies_bytes allows; try again.",
        type="server_error",
        code="bodies_full",
        headers={"connection": "close", "retry-after": "1"},
    )


class UpstreamFailure(RequestError):
    """An attempt failed before anything of it was sent to the client.

    `cause` says why, and `detail`, which may name hosts and is never sent to a client, what the library said about it.
    `upstream_status` is the HTTP status of the upstream's response, None without a response; `retryable` says whether
    the other upstream may be tried; `down` whether the circuit breaker counts this as a failure.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        upstream_status: int | None = None,
        retryable: bool,
        down: bool,
        cause: Cause,
        detail: str = "",
        type: str = "upstream_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, type=type, param=param, code=code, headers=headers)
        self.cause = cause
        self.detail = detail
        self.upstream_status = upstream_status
        self.retryable = retryable
        self.down = down


class StaleConnection(UpstreamFailure):
    """A reused connection was closed before any byte of a response arrived: retry on a new connection."""


class VerdictCutOff(BreakevenError):
    """The limit of the output ended a judge's verdict, so that there is none. No client waits for it."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the judge's verdict was cut off at {limit} tokens; give a higher road.judge_max_tokens")
