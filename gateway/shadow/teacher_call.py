"""One call to an upstream that belongs to no client request, for shadow traffic."""

from __future__ import annotations

import asyncio
import contextlib

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.accounting.usage import NO_USAGE
from breakeven.gateway.endpoints.base import answer_usage
from breakeven.gateway.errors import StaleConnection, UpstreamFailure
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.failures import response_failure, unbilled
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.upstream import Upstream, translated_errors

_PATH = "/chat/completions"
_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_ANSWER_BYTES = 1 << 22


async def call(upstream: Upstream, body: bytes, attempts: list[Attempt]) -> bytes:
    """Send a chat request that does not stream; returns the body of the response. Raises UpstreamFailure.

    Each call made is appended to `attempts`, since each is paid for. The circuit breaker does not count these calls:
    it reflects client traffic.
    """
    with contextlib.suppress(StaleConnection):
        return await _attempt(upstream, body, attempts, fresh=False)
    return await _attempt(upstream, body, attempts, fresh=True)


async def _attempt(upstream: Upstream, body: bytes, attempts: list[Attempt], *, fresh: bool) -> bytes:
    attempt = Attempt(upstream)
    attempts.append(attempt)
    upstream.in_flight += 1
    deadline = Deadline(upstream.config.timeouts.total_seconds)
    response: UpstreamResponse | None = None
    try:
        response = await upstream.post(_PATH, body, _HEADERS, deadline, fresh=fresh)
        attempt.status = response.status
        attempt.upstream_request_id = response.request_id
        with translated_errors(upstream.route, deadline):
            if not 200 <= response.status < 300:
                raise await response_failure(upstream, response)
            data = await response.read(_ANSWER_BYTES)
        attempt.first_event()
        attempt.usage = answer_usage(data) or NO_USAGE
        attempt.outcome = Outcome.OK
        upstream.health.answered()
        return data
    except UpstreamFailure as failure:
        attempt.outcome = Outcome.UPSTREAM_ERROR
        attempt.unbilled = unbilled(failure)
        attempt.fail(failure)
        upstream.health.note(attempt.failure())
        raise
    except asyncio.CancelledError:
        attempt.outcome = Outcome.GATEWAY_ERROR
        raise
    finally:
        attempt.end()
        upstream.release(response, deadline)
