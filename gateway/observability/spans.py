"""Spans of settled requests, made with OpenTelemetry's SDK and exported by OTLP over HTTP, in batches and in a thread.

They are made when a request is settled, from its record, so that nothing is done for them while it runs. This is the
only module that imports OpenTelemetry.
"""

from __future__ import annotations

import importlib.metadata
import logging
import threading
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from breakeven.gateway.accounting.record import AttemptRecord, Outcome, RequestRecord
from breakeven.gateway.config.tracing import Tracing
from breakeven.gateway.observability import semantic_conventions as names
from breakeven.gateway.observability.tracing import TracedAttempt, TracedRequest
from breakeven.gateway.wire.trace_context import Trace

_log = logging.getLogger("breakeven.tracing")

_PATH = "/v1/traces"
# Of one export, repeated tries included.
_EXPORT_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_NAME_CHARACTERS = 256
_FAILED = frozenset({Outcome.UPSTREAM_ERROR, Outcome.TRUNCATED, Outcome.GATEWAY_ERROR})
_ERROR, _UNSET = Status(StatusCode.ERROR), Status(StatusCode.UNSET)

Attributes = dict[str, str | int | float]


class Spans:
    """Records the spans of requests, and exports them in batches.

    What the queue has no room for is dropped: a collector that is slow or down slows no request down. Headers,
    certificates and compression of the export, and the size of queue and batches, are those of OpenTelemetry's own
    environment variables.
    """

    def __init__(self, config: Tracing) -> None:
        assert config.otlp_endpoint is not None
        self.config = config
        # It repeats what `_Exporter` says once, with the URL, which may hold a token.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        endpoint = config.otlp_endpoint.removesuffix(_PATH) + _PATH
        version = importlib.metadata.version("breakeven")
        self._resource = Resource.create({"service.name": config.service_name, "service.version": version})
        self._scope = InstrumentationScope("breakeven", version)
        self._processor = BatchSpanProcessor(_Exporter(OTLPSpanExporter(endpoint, timeout=_EXPORT_SECONDS)))

    def record(self, request: TracedRequest) -> None:
        """Queue the spans of one request: its own, and one for each attempt. Never waits."""
        self._processor.on_end(self._request(request))
        for number, attempt in enumerate(request.attempts):
            self._processor.on_end(self._attempt(request, number, attempt))

    def close(self) -> None:
        """Export what is queued, for up to _CLOSE_SECONDS, and end the thread."""
        # In a thread that nothing waits for: the SDK's own bound is longer.
        closing = threading.Thread(target=self._processor.shutdown, name="breakeven-spans", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    def _request(self, request: TracedRequest) -> ReadableSpan:
        record, trace = request.record, request.trace
        attributes = _of_request(request)
        failed = record.outcome in _FAILED and not 400 <= record.status < 500
        if failed:
            last = record.attempts[-1] if record.attempts else None
            attributes[names.ERROR_TYPE] = str((last and last.cause) or record.outcome)
        parent = None if trace.parent is None else _context(trace, trace.parent, remote=True)
        start = record.at * 1000
        return ReadableSpan(
            f"{request.method} {request.path}",
            context=_context(trace, trace.span),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.SERVER,
            status=_ERROR if failed else _UNSET,
            start_time=start,
            end_time=start + _nanoseconds(record.seconds),
            instrumentation_scope=self._scope,
        )

    def _attempt(self, request: TracedRequest, number: int, traced: TracedAttempt) -> ReadableSpan:
        record, trace = request.record, request.trace
        attempt = record.attempts[number]
        attributes = _of_attempt(record, attempt, traced)
        if request.input is not None:
            attributes[names.INPUT_MESSAGES] = request.input
        # An answer that was cut off for the teacher's has no cause.
        failed = attempt.outcome in _FAILED and (attempt.cause is not None or attempt.outcome is not Outcome.TRUNCATED)
        if failed:
            attributes[names.ERROR_TYPE] = str(attempt.cause or attempt.outcome)
        start = record.at * 1000 + _nanoseconds(traced.began)
        operation = names.OPERATIONS.get(record.endpoint, request.method)
        return ReadableSpan(
            f"{operation} {traced.model}",
            context=_context(trace, trace.attempts[number]),
            parent=_context(trace, trace.span),
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.CLIENT,
            status=_ERROR if failed else _UNSET,
            start_time=start,
            end_time=start + _nanoseconds(attempt.seconds),
            instrumentation_scope=self._scope,
        )


class _Exporter(SpanExporter):
    """Another exporter, whose failures are logged once until it succeeds again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # catch-all: the thread must go on
            _log.debug("spans could not be exported: %s", type(error).__name__)
            result = SpanExportResult.FAILURE
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            _log.warning("the collector of tracing.otlp_endpoint takes no spans; they are dropped until it does")
        elif self._failing and not failing:
            _log.warning("the collector of tracing.otlp_endpoint takes spans again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _of_request(request: TracedRequest) -> Attributes:
    record = request.record
    attributes: Attributes = {
        names.HTTP_METHOD: request.method,
        names.HTTP_ROUTE: request.path,
        names.HTTP_STATUS: record.status,
        names.OUTCOME: record.outcome.value,
        names.REQUEST_ID: record.request_id,
        names.WORKLOAD: record.workload,
        names.ATTEMPTS: len(record.attempts),
    }
    _set(attributes, names.OPERATION, names.OPERATIONS.get(record.endpoint))
    _set(attributes, names.REQUEST_MODEL, request.model and request.model[:_NAME_CHARACTERS])
    _set(attributes, names.ROUTE, record.route and record.route.value)
    _set(attributes, names.REASON, record.reason and record.reason.value)
    _set(attributes, names.SCORE, record.score)
    _set(attributes, names.THRESHOLD, record.threshold)
    _set(attributes, names.NOVELTY, record.novelty)
    _set(attributes, names.KEY, record.key)
    return attributes


def _of_attempt(record: RequestRecord, attempt: AttemptRecord, traced: TracedAttempt) -> Attributes:
    attributes: Attributes = {
        names.PROVIDER: names.ANTHROPIC if traced.anthropic else names.OPENAI,
        names.REQUEST_MODEL: traced.model,
        names.UPSTREAM: attempt.upstream.value,
        names.OUTCOME: attempt.outcome.value,
    }
    _set(attributes, names.OPERATION, names.OPERATIONS.get(record.endpoint))
    _set(attributes, names.HTTP_STATUS, attempt.status)
    _set(attributes, names.UPSTREAM_REQUEST_ID, attempt.upstream_request_id)
    _set(attributes, names.RESPONSE_MODEL, traced.answered_by and traced.answered_by[:_NAME_CHARACTERS])
    _set(attributes, names.OUTPUT_MESSAGES, traced.output)
    usage = attempt.usage
    if usage.complete or usage.prompt or usage.output:
        attributes[names.INPUT_TOKENS] = usage.prompt
        attributes[names.OUTPUT_TOKENS] = usage.output
        if usage.cached:
            attributes[names.CACHED_TOKENS] = usage.cached
    return attributes


def _set(attributes: Attributes, name: str, value: str | float | None) -> None:
    if value is not None:
        attributes[name] = value


def _context(trace: Trace, span: int, *, remote: bool = False) -> SpanContext:
    state = TraceState.from_header([trace.state]) if trace.state else None
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    return SpanContext(trace.id, span, remote, flags, state)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
