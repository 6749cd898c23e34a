"""Traces: whether there are any, and what of a settled request goes into them.

OpenTelemetry is imported only where the config has an endpoint; see `spans.py`.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, NamedTuple

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.config.tracing import Tracing as TracingConfig
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.wire.trace_context import Trace

if TYPE_CHECKING:
    from breakeven.gateway.observability.spans import Spans

_PACKAGES = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class TracedAttempt(NamedTuple):
    """What the record does not have of an attempt: when it began, in seconds after the request, the model that was
    asked and the one that the answer names, and the answer's messages as JSON; None where they are not to be recorded.
    `anthropic`: the upstream was asked in the Messages API.
    """

    began: float
    model: str
    answered_by: str | None
    output: str | None
    anthropic: bool = False


class TracedRequest(NamedTuple):
    """A settled request with its trace, and what its record does not have.

    `path` is the route's, without ids; `model` what the client asked for; `input` its messages as JSON, None where they
    are not to be recorded.
    """

    trace: Trace
    record: RequestRecord
    method: str
    path: str
    model: str | None
    input: str | None
    attempts: tuple[TracedAttempt, ...]


def check_tracing(config: TracingConfig) -> None:
    """Raise ConfigError where there are to be traces and OpenTelemetry is not installed."""
    if config.otlp_endpoint is None:
        return
    try:
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    except ModuleNotFoundError:
        missing = list(_PACKAGES)
    if missing:
        raise ConfigError(
            ["tracing.otlp_endpoint: OpenTelemetry is not installed; install it with: pip install 'breakeven[tracing]'"]
        )


def open_spans(config: TracingConfig) -> Spans | None:
    """What records and exports spans, which starts a thread; None where there are to be none."""
    if config.otlp_endpoint is None:
        return None
    from breakeven.gateway.observability.spans import Spans

    return Spans(config)
