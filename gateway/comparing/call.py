"""One call to an upstream that belongs to no client request, for a comparison."""

from __future__ import annotations

import asyncio
import contextlib

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.accounting.usage import NO_USAGE
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.errors import StaleConnection, UpstreamFailure
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.proxy.unasked_events import note_events
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.failures import response_failure, unbilled
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.upstream import Upstream, translated_errors
from breakeven.router.policy import Route

_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_ANSWER_BYTES = 1 << 22


async def call(
    upstream: Upstream, adapter: Adapter, body: bytes, versions: dict[str, str], attempts: list[Attempt]
) -> bytes:
    """Send a request of the adapter's endpoint that does not stream; returns the body of the response.

    `versions` are headers that name the version of its API. Each call made is appended to `attempts`, since each is
    paid for. Raises UpstreamFailure.

    Of these calls the circuit breaker counts the student's alone, which may get no others: while it is down no client
    is to wait for it, and nothing is compared. A judge's failures say nothing about the requests of clients.
    """
    headers = {**_HEADERS, **versions}
    with contextlib.suppress(StaleConnection):
        return await _attempt(upstream, adapter, body, headers, attempts, fresh=False)
    return await _attempt(upstream, adapter, body, headers, attempts, fresh=True)


async def _attempt(
    upstream: Upstream, adapter: Adapter, body: bytes, headers: dict[str, str], attempts: list[Attempt], *, fresh: bool
) -> bytes:
    attempt = Attempt(upstream)
    attempts.append(attempt)
    counted = upstream.route is Route.STUDENT
    upstream.in_flight += 1
    if counted:
        upstream.breaker.starting()
    deadline = Deadline(upstream.config.timeouts.total_seconds)
    response: UpstreamResponse | None = None
    try:
        response = await upstream.post(adapter.path, body, headers, deadline, fresh=fresh)
        attempt.status = response.status
        attempt.upstream_request_id = response.request_id
        with translated_errors(upstream.route, deadline):
            if not 200 <= response.status < 300:
                raise await response_failure(upstream, response)
            data = await response.read(_ANSWER_BYTES)
            attempt.first_event()
            attempt.usage = adapter.usage(data) or NO_USAGE
            if not attempt.usage.complete:
                # Its text can be compared, whoever asked for a stream.
                await note_events(attempt, adapter, data)
        attempt.outcome = Outcome.OK
        if counted:
            upstream.health.succeeded()
        else:
            upstream.health.answered()
        return data
    except UpstreamFailure as failure:
        attempt.outcome = Outcome.UPSTREAM_ERROR
        attempt.unbilled = unbilled(failure, attempt.status)
        attempt.fail(failure)
        if counted:
            upstream.health.failed(attempt.failure(), down=failure.down)
        else:
            upstream.health.note(attempt.failure())
        raise
    except asyncio.CancelledError:
        attempt.outcome = Outcome.GATEWAY_ERROR
        if counted:
            upstream.breaker.released()
        raise
    finally:
        attempt.end()
        upstream.release(response, deadline)
