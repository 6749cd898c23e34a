"""One attempt: a call to one upstream, its answer relayed, its outcome noted."""

from __future__ import annotations

import asyncio

import msgspec

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.accounting.usage import NO_USAGE
from breakeven.gateway.errors import StaleConnection, UpstreamFailure
from breakeven.gateway.proxy.downstream import Client, Reply
from breakeven.gateway.proxy.escalation import Escalated
from breakeven.gateway.proxy.exchange import Attempt, Exchange
from breakeven.gateway.proxy.stream import StreamRelay
from breakeven.gateway.proxy.upstream_request import upstream_body, upstream_headers
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.response import Answer
from breakeven.gateway.upstreams.upstream import CAUGHT, failures, refusal, refused, unbilled
from breakeven.gateway.wire.chat_text import whole_text
from breakeven.router.policy import Route

# A whole answer without usage is taken for so many events, to estimate its tokens from.
_CHARACTERS_PER_TOKEN = 4
_STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


async def ask(exchange: Exchange, client: Client, route: Route) -> Reply:
    """An attempt, and another one where an idle connection was closed as the first one took it."""
    try:
        return await _attempt(exchange, client, route)
    except StaleConnection:
        return await _attempt(exchange, client, route, fresh=True)


async def _attempt(exchange: Exchange, client: Client, route: Route, *, fresh: bool = False) -> Reply:
    """One call to one upstream. Raises UpstreamFailure only where nothing reached the client."""
    upstream = exchange.services.upstreams[route]
    asked, plan = exchange.admitted
    body = upstream_body(asked, exchange.adapter, upstream, exchange.probe(route))
    attempt = exchange.begin(route)
    if plan.tap is not None:
        plan.tap.restart()
    timeouts = upstream.config.timeouts
    answer: Answer | None = None
    upstream.in_flight += 1
    upstream.breaker.starting()
    deadline = Deadline(timeouts.total_seconds, min(timeouts.first_event_seconds, timeouts.idle_seconds))
    try:
        if asked.stream:
            deadline.within(timeouts.first_event_seconds)
        head = upstream_headers(client, stream=asked.stream)
        answer = await upstream.post(exchange.adapter.path, body, head, deadline, fresh=fresh)
        attempt.status = answer.status
        if not 200 <= answer.status < 300:
            with failures(route, deadline):
                raise await refusal(upstream, answer)
        headers = {**answer.headers, **exchange.headers()}
        if asked.stream and answer.streams:
            relay = StreamRelay(exchange, attempt, answer, client, deadline)
            reply = await relay.run({**headers, **_STREAM_HEADERS})
        else:
            try:
                reply = Reply(answer.status, headers, await _whole(exchange, attempt, answer, deadline))
            except CAUGHT:
                with failures(route, deadline):
                    raise
        if attempt.outcome is Outcome.OK:
            upstream.breaker.succeeded()
        else:
            upstream.breaker.failed()
        return reply
    except Escalated:
        # A stream was cut off by us; a whole answer had come to its end.
        attempt.outcome = Outcome.TRUNCATED if asked.stream else Outcome.OK
        upstream.breaker.succeeded()
        raise
    except UpstreamFailure as failure:
        attempt.outcome = Outcome.UPSTREAM_ERROR
        attempt.unbilled = unbilled(failure)
        if isinstance(failure, StaleConnection):
            upstream.breaker.released()
        elif failure.down:
            upstream.breaker.failed()
        else:
            upstream.breaker.succeeded()
        raise
    except asyncio.CancelledError:
        attempt.outcome = Outcome.CLIENT_CANCELLED if client.gone else Outcome.GATEWAY_ERROR
        upstream.breaker.released()
        raise
    finally:
        deadline.close()
        upstream.in_flight -= 1
        attempt.end()
        if answer is not None:
            answer.close(complete=attempt.outcome is Outcome.OK)


async def _whole(exchange: Exchange, attempt: Attempt, answer: Answer, deadline: Deadline) -> bytes:
    """A whole JSON answer. What is an error in the clothes of a 200, or no JSON, is the failure that it is."""
    upstream = exchange.services.upstreams[attempt.route]
    parts = []
    while (segment := await answer.segment()) is not None:
        attempt.first_event()
        parts.append(segment)
        deadline.within(upstream.config.timeouts.idle_seconds)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    usage = exchange.adapter.usage(body)
    if usage is None and not answer.streams:
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise refused(upstream, 502, {"message": f"The {attempt.route} answered with something else than JSON."})
        if value.get("error") and "choices" not in value and "object" not in value:
            raise refused(upstream, 502, value["error"])
    tap = exchange.admitted[1].tap
    if tap is not None:
        tap.feed(body)
    exchange.stored_as(exchange.adapter.response_id(body))
    attempt.usage = usage or NO_USAGE
    if not attempt.usage.complete:
        attempt.events = len(whole_text(body) or "") // _CHARACTERS_PER_TOKEN
    attempt.outcome = Outcome.OK
    probe = exchange.probe(attempt.route)
    if probe is None:
        return body
    probe.look(body, finished=True)
    return probe.strip(body)
