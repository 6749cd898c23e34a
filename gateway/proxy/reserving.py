"""Reserving what a request may cost from its key's budget, before it is sent upstream."""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.accounting.usage import NO_USAGE, Usage
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.proxy.background import WAIT_SECONDS
from breakeven.gateway.proxy.decision import plan
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Route

# A prompt's tokens are known only roughly beforehand: by this factor, and so many, more are reserved.
_MORE, _LEAST = 1.25, 16
# For what a picture or sound in the prompt may count, and a conversation that the upstream stores.
_OTHER_INPUT, _STORED_INPUT = 4096, 16_384
_MOST_TOKENS, _MOST = 10**9, 2**60
_TEXT = frozenset({"text"})


def budgeted(exchange: Exchange) -> ClientKey | None:
    """The key whose budget pays for the request; None where none has to."""
    caller = exchange.caller
    if caller is None or caller.monthly_budget_usd is None or not exchange.adapter.in_ledger:
        return None
    return caller


async def reserve_first(exchange: Exchange) -> None:
    """Reserve for the upstream that a planned request goes to. Where that does not fit and the key says so, the request
    is planned anew for the student. Raises RequestError 429 where it cannot be answered.
    """
    key = budgeted(exchange)
    if key is None:
        return
    request, made = exchange.admitted
    route = made.decision.route
    upstream = exchange.services.upstreams[route]
    if made.providers is not None and route is Route.TEACHER:
        upstream = next((one for one in made.providers.upstreams if one.available), made.providers.upstreams[0])
    if await reserve(exchange, key, upstream):
        return
    if key.over_budget != "student" or route is Route.MODEL:
        raise exchange.services.state.quotas.does_not_fit(key)
    exchange.request = msgspec.structs.replace(request, student_only=True)
    exchange.plan = plan(exchange, exchange.request)


async def reserve(exchange: Exchange, key: ClientKey, upstream: Upstream) -> bool:
    """Reserve for an attempt at this upstream, beside what earlier attempts may have cost; whether that fits."""
    if upstream.label in exchange.reserved:
        return True
    amount = most(exchange, upstream)
    if not amount:
        return True
    if all(attempt.unbilled for attempt in exchange.attempts):
        exchange.reserved.clear()
    total = amount + sum(exchange.reserved.values())
    seconds = upstream.config.timeouts.total_seconds
    if exchange.admitted_request.body.has_any(_BACKGROUND):
        seconds = max(seconds, WAIT_SECONDS)
    if not await exchange.services.state.quotas.hold(key, exchange.id, total, seconds):
        return False
    exchange.reserved[upstream.label] = amount
    return True


_BACKGROUND = frozenset({"background"})


def most(exchange: Exchange, upstream: Upstream) -> int:
    """The most that an attempt at this upstream is expected to cost, in picodollars: its prompt as counted beforehand,
    with a margin, and as many output tokens as the request or the config allows.
    """
    if upstream.route is Route.STUDENT:
        return 0
    services, adapter, (request, made) = exchange.services, exchange.adapter, exchange.admitted
    body, seen = request.body, made.conversation
    known = services.state.token_ratios[upstream.label].estimate(NO_USAGE, counted=exchange.counted(), events=0)
    prompt = int(known.prompt * _MORE) + _LEAST
    if seen is not None and not seen.modalities <= _TEXT:
        prompt += _OTHER_INPUT
    if adapter.previous(body) is not None or (seen is not None and (seen.stored or seen.made)):
        prompt += _STORED_INPUT
    output = 0
    if adapter.limit_field is not None:
        limit = adapter.max_output_tokens(body)
        output = upstream.config.reserve_output_tokens if limit is None else min(max(limit, 0), _MOST_TOKENS)
        several = body.integer("best_of") or 1 if adapter.endpoint is Endpoint.COMPLETIONS else 1
        output *= min(max(request.choices, several), _MOST_TOKENS)
    tier = body.get("service_tier", Any, "a string")
    usage = Usage(prompt, 0, output, complete=True, service_tier=tier if isinstance(tier, str) else None)
    amount = services.cost(upstream.route, usage, upstream.provider).total
    if services.model is not None:
        amount += services.price.request * max(1, body.integer("n") or 1)
    return min(amount, _MOST)
