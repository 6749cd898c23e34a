"""One whole answer of an upstream, outside of any client's request."""

from __future__ import annotations

import asyncio
import contextlib

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.accounting.usage import NO_USAGE
from breakeven.gateway.endpoints.base import answer_usage
from breakeven.gateway.errors import StaleConnection, UpstreamFailure
from breakeven.gateway.proxy.exchange import Attempt
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.response import Answer
from breakeven.gateway.upstreams.upstream import Upstream, failures, refusal, unbilled

_PATH = "/chat/completions"
_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_ANSWER_BYTES = 1 << 22


async def call(upstream: Upstream, body: bytes, attempts: list[Attempt]) -> bytes:
    """Post a chat body; what it took is appended to `attempts`. Raises UpstreamFailure.

    The circuit breaker is not told: it stands for what clients meet.
    """
    with contextlib.suppress(StaleConnection):
        return await _attempt(upstream, body, attempts, fresh=False)
    return await _attempt(upstream, body, attempts, fresh=True)


async def _attempt(upstream: Upstream, body: bytes, attempts: list[Attempt], *, fresh: bool) -> bytes:
    attempt = Attempt(upstream.route)
    attempts.append(attempt)
    upstream.in_flight += 1
    deadline = Deadline(upstream.config.timeouts.total_seconds)
    answer: Answer | None = None
    try:
        answer = await upstream.post(_PATH, body, _HEADERS, deadline, fresh=fresh)
        attempt.status = answer.status
        with failures(upstream.route, deadline):
            if not 200 <= answer.status < 300:
                raise await refusal(upstream, answer)
            data = await answer.read(_ANSWER_BYTES)
        attempt.first_event()
        attempt.usage = answer_usage(data) or NO_USAGE
        attempt.outcome = Outcome.OK
        return data
    except UpstreamFailure as failure:
        attempt.outcome = Outcome.UPSTREAM_ERROR
        attempt.unbilled = unbilled(failure)
        raise
    except asyncio.CancelledError:
        attempt.outcome = Outcome.GATEWAY_ERROR
        raise
    finally:
        deadline.close()
        upstream.in_flight -= 1
        attempt.end()
        if answer is not None:
            answer.close()
