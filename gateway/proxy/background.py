"""Accounting of responses that are made in the background: their tokens are known only after the request that began
them.

The record of that request waits until a later answer shows how the response ended, and goes to the ledger then, once.
Where nobody asks for it within a day, its tokens are missing and are estimated.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from breakeven.gateway.accounting.estimates import NO_ESTIMATE
from breakeven.gateway.accounting.record import AttemptRecord, Endpoint, RequestRecord, upstream_label
from breakeven.gateway.accounting.usage import NO_USAGE, Usage
from breakeven.gateway.economics.breakeven import baseline_of
from breakeven.gateway.endpoints.responses import Responses
from breakeven.gateway.observability import log
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.runtime.stored_responses import Made
from breakeven.router.policy import Route

_log = logging.getLogger("breakeven.responses")

WAIT_SECONDS = 86400.0
_SWEEP_SECONDS = 60.0


class _Waiting(msgspec.Struct):
    """A settled record without usage, and our own count of the prompt's tokens."""

    record: RequestRecord
    counted: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Waiting).decode


def defer(exchange: Exchange) -> None:
    """Note at the end of a request whose answer is stored whether it is still being made; its tokens are then neither
    missing nor estimated yet.
    """
    adapter, attempt = exchange.adapter, exchange.attempts[-1]
    if exchange.request is None or not isinstance(adapter, Responses) or adapter.endpoint is not Endpoint.RESPONSES:
        return
    if attempt.usage.complete or not adapter.background(exchange.request.body) or attempt.route is Route.MODEL:
        return
    whole = not exchange.request.stream and adapter.ended(b"".join(attempt.segments))
    if not whole:
        exchange.deferred = attempt.unbilled = True


def waits(exchange: Exchange, record: RequestRecord) -> bool:
    """Whether the record of a settled request waits for the usage of its answer; it is then stored."""
    services, id = exchange.services, exchange.response_id
    if id is None or record.endpoint is not Endpoint.RESPONSES or not exchange.deferred:
        return False
    last = record.attempts[-1]
    made = Made(last.upstream, last.provider, record.key or "")
    return services.state.stored.put(id, made, record.at / 1e6, _encode(_Waiting(record, exchange.counted())))


def account(services: Services, waiting: bytes, usage: Usage) -> None:
    """Complete a record that waited with the usage of its response, at the prices in force now, and enter it into the
    ledger. Without a complete usage its tokens are missing, and estimated.
    """
    record, counted = (found := _decode(waiting)).record, found.counted
    attempts = (*record.attempts[:-1], _completed(services, record.attempts[-1], counted, usage))
    bill = baseline_of(attempts, services.price, pinned=record.pinned)
    record = msgspec.structs.replace(
        record,
        attempts=attempts,
        baseline=bill.total,
        baseline_input=bill.input,
        baseline_output=bill.output,
    )
    key = services.config.auth.by_name.get(record.key or "")
    services.state.quotas.settle(key, record)
    encoded = msgspec.json.encode(record)
    services.ledger.settle(record, encoded)
    log.settled(record, encoded, services.config.log)


def _completed(services: Services, last: AttemptRecord, counted: int, usage: Usage) -> AttemptRecord:
    """The attempt with its usage, what is missing of it estimated, and its cost. `counted`: our count of its prompt."""
    last = msgspec.structs.replace(last, usage=usage, usage_missing=not usage.complete)
    if last.usage_missing:
        services.metrics.usage_missing.labels(last.upstream).inc()
    label = upstream_label(last.upstream, last.provider)
    if label not in services.every_upstream:
        _log.error(
            "the config does not have %s any more, so a response that it made in the background is in the ledger "
            "without its cost",
            label,
        )
        return last
    estimated, cost_estimated = NO_ESTIMATE, 0
    if last.usage_missing:
        estimated = services.state.token_ratios[label].estimate(usage, counted=counted, events=0)
        tokens = Usage(estimated.prompt, 0, estimated.output, complete=False)
        cost_estimated = services.cost(last.upstream, tokens, last.provider).total
    cost = services.cost(last.upstream, usage, last.provider)
    return msgspec.structs.replace(last, cost=cost, estimated=estimated, cost_estimated=cost_estimated)


def account_expired(services: Services, now: float) -> None:
    """Account the records that nobody asked for within WAIT_SECONDS of `now`, in seconds since the Unix epoch."""
    while (waiting := services.state.stored.take_older(now - WAIT_SECONDS)) is not None:
        account(services, waiting, NO_USAGE)
    services.state.stored.prune(now)


async def run(services: Callable[[], Services]) -> None:
    """Account expired records every minute, until cancelled."""
    while True:
        account_expired(services(), time.time())
        await asyncio.sleep(_SWEEP_SECONDS)
