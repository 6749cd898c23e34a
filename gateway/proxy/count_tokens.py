"""POST /v1/messages/count_tokens and /v1/responses/input_tokens: the tokens of a prompt at the upstream that would
answer it.

Its own count where it has this endpoint, else its tokenizer's count of the prompt, else an estimate; a header says
which. What a request names that an upstream stores can be counted only there. Nobody charges for it: the request is in
the log and in `requests_total`, but is no attempt at an upstream, and not in the ledger.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.accounting.usage import NO_USAGE
from breakeven.gateway.errors import RequestError, UpstreamFailure
from breakeven.gateway.proxy.downstream import Client, Reply
from breakeven.gateway.proxy.exchange import Exchange, Plan
from breakeven.gateway.proxy.handler import Relay
from breakeven.gateway.proxy.portable import again
from breakeven.gateway.proxy.providers import REFUSED
from breakeven.gateway.proxy.upstream_request import Prepared, upstream_body, upstream_headers
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.failures import response_failure
from breakeven.gateway.upstreams.health import Failure
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.upstream import Upstream, translated_errors
from breakeven.gateway.wire.lenient_json import UNREADABLE, read
from breakeven.router.policy import Route

HEADER = "x-breakeven-token-count"
_SECONDS = 10.0
_ANSWER_BYTES = 1 << 16
# With which an upstream refuses what the client sent; all else says only that it does not count now.
_INVALID = frozenset({400, 413, 422})
# With which it says that it has no such path, or nothing of this id.
_ABSENT = frozenset({404, 405, 501})
# What the answers of an endpoint have beside the count.
_BESIDE: dict[Endpoint, dict[str, Any]] = {Endpoint.INPUT_TOKENS: {"object": "response.input_tokens"}}


class _Count(msgspec.Struct):
    input_tokens: int


_COUNT = msgspec.json.Decoder(_Count)


class CountRelay(Relay):
    """The ASGI app of either endpoint: identified, admitted and routed as any request, and answered with a count."""

    async def _attempts(self, exchange: Exchange, client: Client, plan: Plan) -> Reply:
        if _names_stored(exchange, plan):
            how, count = "upstream", await _of_its_keeper(exchange, client, plan)
        else:
            how, count = await _of_the_answering(exchange, client, _upstreams(exchange, plan))
        headers = {**exchange.headers(), HEADER: how, "content-type": "application/json"}
        beside = _BESIDE.get(exchange.adapter.endpoint, {})
        return Reply(200, headers, msgspec.json.encode({**beside, "input_tokens": count}))


def _upstreams(exchange: Exchange, plan: Plan) -> list[Upstream]:
    """The upstreams of the planned route that the request may be sent to, the first one first that is available."""
    route, providers = plan.decision.route, plan.providers
    if providers is None or route is not Route.TEACHER:
        return [exchange.services.upstreams[route]]
    ordered = sorted(providers.upstreams, key=lambda one: not one.available)
    return ordered if providers.several else ordered[:1]


def _names_stored(exchange: Exchange, plan: Plan) -> bool:
    """Whether there is more to count than the request has in it: what an upstream stores."""
    body, seen = exchange.admitted[0].body, plan.conversation
    named = any(not one.whole for one in exchange.adapter.references(body))
    return named or (seen is not None and seen.stored)


async def _of_the_answering(exchange: Exchange, client: Client, upstreams: list[Upstream]) -> tuple[str, int]:
    """Who counted, and the count, which is an estimate where nobody did. Raises UpstreamFailure for a request that an
    upstream refuses.
    """
    upstream, *others = upstreams
    for one in (upstream, *filter(lambda other: other.available, others)):
        if exchange.adapter.translates and not one.speaks_messages:
            continue
        try:
            count = await _native(exchange, client, one)
        except UpstreamFailure as failure:
            if failure.upstream_status in _INVALID:
                raise
            if failure.upstream_status is None and failure.code != "upstream_unreachable":
                # The client has waited long enough.
                break
        else:
            if count is not None:
                return "upstream", count
    count = await _tokenized(exchange, upstream)
    if count is not None:
        return "tokenizer", count
    ratios = exchange.services.state.token_ratios[upstream.label]
    return "estimated", ratios.estimate(NO_USAGE, counted=exchange.counted(), events=0).prompt


async def _of_its_keeper(exchange: Exchange, client: Client, plan: Plan) -> int:
    """The count of the upstream that stores what the request names. Raises its failure, else the first refusal, or
    RequestError 404 where none has it, or none counts it.
    """
    asked = _upstreams(exchange, plan)
    if plan.may_be_elsewhere and plan.decision.route.other in exchange.services.available:
        asked.append(exchange.services.upstreams[plan.decision.route.other])
    refusal: UpstreamFailure | None = None
    for upstream in asked:
        try:
            count = await _native(exchange, client, upstream)
        except UpstreamFailure as failure:
            if failure.upstream_status in _ABSENT:
                continue
            if failure.upstream_status not in REFUSED:
                raise
            # OpenAI's API refuses with 400 a response that it does not have; the next upstream may have it.
            refusal = refusal or failure
        else:
            if count is not None:
                return count
    try:
        raise refusal or RequestError(
            404,
            "No upstream has what the request names, or the one that has it counts no tokens; send the whole input.",
            code="stored_not_counted",
        )
    finally:
        # Its traceback has this frame: with its name here the two would be a cycle.
        del refusal


async def _native(exchange: Exchange, client: Client, upstream: Upstream) -> int | None:
    """The upstream's own count; None for an answer that is none. Raises UpstreamFailure."""
    try:
        return await _asked(exchange, client, upstream)
    except UpstreamFailure as refusal:
        return await again(exchange, upstream, refusal, lambda: _asked(exchange, client, upstream))


async def _asked(exchange: Exchange, client: Client, upstream: Upstream) -> int | None:
    """The count that one call to the upstream gives; else as `_native`."""
    adapter, deadline = exchange.adapter, Deadline(_SECONDS)
    response: UpstreamResponse | None = None
    try:
        sent = Prepared(upstream_body(exchange, upstream), adapter, None)
        head = upstream_headers(exchange, client, upstream, sent)
        response = await upstream.request("POST", adapter.path, sent.body, head, deadline, fresh=True)
        with translated_errors(upstream.route, deadline):
            if response.status != 200:
                raise await response_failure(upstream, response)
            answer = await response.read(_ANSWER_BYTES)
        return read(_COUNT, answer).input_tokens
    except UNREADABLE:
        return None
    except UpstreamFailure as failure:
        if failure.upstream_status not in _ABSENT:
            now = time.time_ns() // 1000
            upstream.health.note(Failure(failure.cause, now, failure.upstream_status, detail=failure.detail))
            exchange.services.metrics.upstream_failures.labels(upstream.label, failure.cause).inc()
        raise
    finally:
        deadline.close()
        if response is not None:
            response.close()


async def _tokenized(exchange: Exchange, upstream: Upstream) -> int | None:
    """The count of the upstream's tokenizer, with what the model's template adds; None where it has none."""
    asked = exchange.adapter.prompt(exchange.admitted[0].body)
    if upstream.tokenizer is None or asked is None:
        return None
    return await upstream.tokenizer.prompt(asked)
