"""The exception tree, and the one mapper to OpenAI error bodies.

BreakevenError
├── ConfigError               breakeven.yaml or the environment is wrong: exit 2
├── LedgerError               the ledger cannot be opened or written
└── RequestError              one request fails with an OpenAI-shaped body
    └── UpstreamFailure       an attempt failed before the first byte reached the client
        └── StaleConnection   ... since its server closed an idle connection as we took it
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class BreakevenError(Exception):
    """Anything that Breakeven raises on purpose."""


class ConfigError(BreakevenError):
    """The config is wrong. `faults` has one line each: the key's path, what is wrong, how to mend it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class LedgerError(BreakevenError):
    """The ledger cannot be opened or written."""


class RequestError(BreakevenError):
    """One request fails: an HTTP status and the four fields of an OpenAI error."""

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
        """The error as OpenAI's JSON body."""
        return msgspec.json.encode(
            {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
        )


def too_slow(seconds: float) -> RequestError:
    """The refusal of a request whose body does not arrive. OpenAI's SDKs try again after it."""
    return RequestError(
        408,
        f"The body did not arrive within {seconds:g} seconds; send it faster, or raise server.read_seconds.",
        code="request_timeout",
        headers={"connection": "close"},
    )


class UpstreamFailure(RequestError):
    """An attempt failed and nothing of it was sent to the client.

    `upstream_status` is what the upstream answered, None where it did not; `retryable` says whether the
    other upstream may be tried; `down` whether this counts against the upstream's health.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        upstream_status: int | None = None,
        retryable: bool,
        down: bool,
        type: str = "upstream_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, type=type, param=param, code=code, headers=headers)
        self.upstream_status = upstream_status
        self.retryable = retryable
        self.down = down


class StaleConnection(UpstreamFailure):
    """A connection that had been used before was lost before anybody answered: ask again on a new one."""
