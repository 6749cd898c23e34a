"""Tracing a settled request: what its spans say beside its record, read only where they are recorded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.errors import RequestError
from breakeven.gateway.observability.tracing import TracedAttempt, TracedRequest
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.lenient_json import UNREADABLE, read
from breakeven.gateway.wire.sse import Scanner
from breakeven.gateway.wire.trace_context import Trace

if TYPE_CHECKING:
    from breakeven.gateway.observability.spans import Spans

_log = logging.getLogger("breakeven.tracing")

_MAX_CHARACTERS = 1 << 15
# Of a stream as much is read for the name of the model, a part at a time.
_SLICE_BYTES, _READ_BYTES = 1 << 9, 1 << 16


class _Answer(msgspec.Struct):
    model: Any = None
    # What the first events of a response, and of a message, have it in.
    response: Any = None
    message: Any = None


_ANSWER = msgspec.json.Decoder(_Answer)


def record_spans(exchange: Exchange, record: RequestRecord, trace: Trace) -> None:
    """Record the spans of a settled request, and name its trace in the histograms; nothing where it is not sampled.
    Never raises.
    """
    spans = exchange.services.state.spans
    if spans is None or not trace.sampled:
        return
    try:
        _record(exchange, record, trace, spans)
    except Exception as error:  # catch-all: no request fails for its trace
        _log.error("a request could not be traced: %s", type(error).__name__, exc_info=error)


def _record(exchange: Exchange, record: RequestRecord, trace: Trace, spans: Spans) -> None:
    services = exchange.services
    content = spans.config.content
    services.metrics.exemplify(record, trace.hex)
    body = exchange.request.body if exchange.request is not None else None
    spans.record(
        TracedRequest(
            trace=trace,
            record=record,
            method=exchange.adapter.method,
            path=f"/v1{exchange.adapter.template}",
            model=_model(body),
            input=_input(exchange.adapter, body) if content and body is not None else None,
            # An attempt that did not get as far as to have a span has none.
            attempts=tuple(
                _attempt(exchange, attempt, content=content) for attempt in exchange.attempts[: len(trace.attempts)]
            ),
        )
    )


def _attempt(exchange: Exchange, attempt: Attempt, *, content: bool) -> TracedAttempt:
    text = attempt.text()[:_MAX_CHARACTERS] if content else ""
    return TracedAttempt(
        began=attempt.started - exchange.started,
        model=attempt.upstream.config.model,
        answered_by=_answering_model(attempt.segments),
        output=_json([_message("assistant", text)]) if text else None,
        anthropic=exchange.adapter.translates and attempt.upstream.speaks_messages,
    )


def _model(body: Body | None) -> str | None:
    """The model that a request names; None without one."""
    if body is None:
        return None
    try:
        return body.get("model", str, "a string")
    except RequestError:
        return None


def _answering_model(segments: list[bytes]) -> str | None:
    """The model that an answer names, or one of the first events of a stream; None without one."""
    if not segments:
        return None
    if segments[0].lstrip()[:1] == b"{":
        return _named(segments[0])
    scanner, read_bytes = Scanner(), 0
    for segment in segments:
        # A segment may hold hundreds of events, of which the first says it.
        for start in range(0, len(segment), _SLICE_BYTES):
            for event in scanner.feed(segment[start : start + _SLICE_BYTES]):
                found = _named(event.data or b"")
                if found is not None:
                    return found
            read_bytes += _SLICE_BYTES
            if read_bytes >= _READ_BYTES:
                return None
    return None


def _named(data: bytes) -> str | None:
    try:
        answer = read(_ANSWER, data)
    except UNREADABLE:
        return None
    for holder in (answer.response, answer.message):
        if isinstance(holder, dict):
            return holder["model"] if isinstance(holder.get("model"), str) else None
    return answer.model if isinstance(answer.model, str) else None


def _input(adapter: Adapter, body: Body) -> str | None:
    """The messages of a request as the conventions have them, in JSON; texts only, up to _MAX_CHARACTERS."""
    try:
        messages = adapter.items(body)
        if not messages:
            conversation = adapter.conversation(body)
            messages = [{"role": "user", "content": conversation.text}]
    except RequestError:
        return None
    left, found = _MAX_CHARACTERS, []
    for message in reversed(messages):
        if left <= 0:
            break
        text = _text(message)[:left]
        left -= len(text)
        role = message.get("role") if isinstance(message, dict) else None
        found.append(_message(role if isinstance(role, str) else "user", text))
    return _json(found[::-1])


def _text(message: Any) -> str:
    """The text of a message: its content, or that of the content's parts."""
    content = message.get("content", message.get("output")) if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
