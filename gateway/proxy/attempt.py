"""One attempt: a call to one upstream, relaying its response, and recording the outcome."""

from __future__ import annotations

import asyncio

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.accounting.usage import NO_USAGE
from breakeven.gateway.endpoints.base import Translation
from breakeven.gateway.errors import Cause, StaleConnection, UpstreamFailure
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.proxy.downstream import Client, Reply
from breakeven.gateway.proxy.escalation import Escalated
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.proxy.passing import Passing
from breakeven.gateway.proxy.stream import StreamRelay
from breakeven.gateway.proxy.unasked_events import check_no_events
from breakeven.gateway.proxy.upstream_request import Prepared, prepared, upstream_headers
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.failures import (
    check_answer,
    check_reported,
    event_failure,
    invalid_answer,
    response_failure,
    unbilled,
)
from breakeven.gateway.upstreams.response import UpstreamResponse, Whole
from breakeven.gateway.upstreams.upstream import UPSTREAM_ERRORS, Upstream, translated_errors
from breakeven.router.policy import Route

_STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


async def call_upstream(exchange: Exchange, client: Client, upstream: Upstream) -> Reply:
    """Make an attempt at `upstream`, with one retry on a new connection if a reused one turned out closed.

    Returns what is still to be sent to the client. Raises UpstreamFailure only if nothing was sent yet, Escalated if
    the answer is to be discarded for the teacher's, and CancelledError.
    """
    try:
        return await _attempt(exchange, client, upstream)
    except StaleConnection:
        return await _attempt(exchange, client, upstream, fresh=True)


async def _attempt(exchange: Exchange, client: Client, upstream: Upstream, *, fresh: bool = False) -> Reply:
    """One call to one upstream. Raises UpstreamFailure only where nothing reached the client."""
    route = upstream.route
    request, _ = exchange.admitted
    sent = prepared(exchange, upstream)
    attempt = exchange.begin_attempt(upstream)
    timeouts = upstream.config.timeouts
    response: UpstreamResponse | None = None
    upstream.in_flight += 1
    upstream.breaker.starting()
    deadline = Deadline(timeouts.total_seconds, min(timeouts.first_event_seconds, timeouts.idle_seconds))
    try:
        if request.stream:
            deadline.within(timeouts.first_event_seconds)
        head = upstream_headers(exchange, client, upstream, sent)
        response = await upstream.request(
            sent.adapter.method, sent.adapter.path, sent.body, head, deadline, fresh=fresh
        )
        attempt.status = response.status
        attempt.upstream_request_id = response.request_id
        if not 200 <= response.status < 300:
            with translated_errors(route, deadline):
                raise await response_failure(upstream, response)
        reply = await _relay(exchange, attempt, response, client, deadline, sent)
        if attempt.outcome is Outcome.OK:
            upstream.health.succeeded()
        else:
            upstream.health.failed(attempt.failure(), down=True)
        return reply
    except Escalated:
        # A stream is cut off here; a response that is no stream had been read to its end.
        attempt.outcome = Outcome.TRUNCATED if request.stream else Outcome.OK
        attempt.escalated = True
        upstream.health.succeeded()
        raise
    except UpstreamFailure as failure:
        attempt.outcome = Outcome.UPSTREAM_ERROR
        attempt.unbilled = unbilled(failure, attempt.status)
        attempt.fail(failure)
        upstream.health.failed(attempt.failure(), down=failure.down)
        raise
    except asyncio.CancelledError:
        attempt.outcome = Outcome.CLIENT_CANCELLED if client.gone else Outcome.GATEWAY_ERROR
        upstream.breaker.released()
        raise
    finally:
        attempt.end()
        upstream.release(response, deadline, reusable=attempt.outcome is Outcome.OK)


async def _relay(
    exchange: Exchange,
    attempt: Attempt,
    response: UpstreamResponse,
    client: Client,
    deadline: Deadline,
    sent: Prepared,
) -> Reply:
    """Relay an answer with a success status; returns what is still to be sent. Raises as `call_upstream` does."""
    headers = {**response.headers, **exchange.headers()}
    if exchange.adapter.opaque:
        kept_live = _STREAM_HEADERS if response.streams else {}
        return await Passing(exchange, attempt, response, client, deadline).run({**headers, **kept_live})
    streams = exchange.admitted_request.stream
    if streams and (response.streams or await _is_event_stream(response, attempt.route, deadline)):
        if not response.streams:
            headers["content-type"] = "text/event-stream"
        relay = StreamRelay(exchange, attempt, response, client, deadline, sent.translation)
        return await relay.run({**headers, **_STREAM_HEADERS})
    if response.streams:
        # What is read to its end and passed on is JSON, whatever its label.
        headers["content-type"] = "application/json"
    headers.setdefault("content-type", "application/json")
    try:
        return Reply(response.status, headers, await _read_whole(exchange, attempt, response, deadline, sent))
    except UPSTREAM_ERRORS:
        with translated_errors(attempt.route, deadline):
            raise


async def _is_event_stream(response: UpstreamResponse, route: Route, deadline: Deadline) -> bool:
    """Whether an answer with another content type is a stream all the same. Raises UpstreamFailure."""
    try:
        return await response.is_event_stream()
    except UPSTREAM_ERRORS:
        with translated_errors(route, deadline):
            raise


async def _read_whole(
    exchange: Exchange, attempt: Attempt, response: UpstreamResponse, deadline: Deadline, sent: Prepared
) -> bytes:
    """The body of a response that is to be no stream, translated if need be. Raises UpstreamFailure for one that is not
    JSON, or a stream all the same, or an error object with a success status, or nothing that can be translated.
    """
    upstream, adapter, translation = attempt.upstream, sent.adapter, sent.translation
    whole = Whole(upstream.config.max_answer_bytes)
    while (segment := await response.segment()) is not None:
        attempt.first_event()
        whole.add(segment)
        deadline.within(upstream.config.timeouts.idle_seconds)
    body = whole.body()
    usage = adapter.usage(body)
    attempt.usage = usage or NO_USAGE
    if usage is None:
        await check_no_events(attempt, adapter, body)
        check_answer(upstream, body)
    else:
        check_reported(upstream, body)
    error = adapter.failed(body)
    if error is not None:
        raise event_failure(upstream, error, Cause.ERROR_EVENT)
    exchange.remember_response(adapter.response_id(body))
    attempt.segments = [body]
    if translation is not None:
        body = _translated(translation, body, upstream)
    attempt.outcome = Outcome.OK
    probe = exchange.probe(attempt.route)
    if probe is None:
        return body
    probe.inspect(body, finished=True)
    return probe.strip_logprobs(body)


def _translated(translation: Translation, body: bytes, upstream: Upstream) -> bytes:
    """A whole answer in the client's API. Raises UpstreamFailure for what is no answer."""
    found = translation.answer(body)
    if found is None:
        raise invalid_answer(upstream, "a chat completion")
    return found
