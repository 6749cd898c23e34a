"""POST /v1/messages/count_tokens: the tokens of a prompt at the upstream that would answer it.

Its own count where it has this endpoint, else its tokenizer's count of the prompt, else an estimate; a header says
which. Nobody charges for it: the request is in the log and in `requests_total`, but is no attempt at an upstream, and
not in the ledger.
"""

from __future__ import annotations

import msgspec

from breakeven.gateway.accounting.usage import NO_USAGE
from breakeven.gateway.errors import UpstreamFailure
from breakeven.gateway.proxy.downstream import Client, Reply
from breakeven.gateway.proxy.exchange import Exchange, Plan
from breakeven.gateway.proxy.handler import Relay
from breakeven.gateway.proxy.upstream_request import Prepared, upstream_body, upstream_headers
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.failures import response_failure
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.upstream import Upstream, translated_errors
from breakeven.gateway.wire.lenient_json import UNREADABLE, read

HEADER = "x-breakeven-token-count"
_SECONDS = 10.0
_ANSWER_BYTES = 1 << 16
# With which an upstream refuses what the client sent; all else says only that it does not count now.
_INVALID = frozenset({400, 413, 422})


class _Count(msgspec.Struct):
    input_tokens: int


_COUNT = msgspec.json.Decoder(_Count)


class CountRelay(Relay):
    """The ASGI app of the endpoint: identified, admitted and routed as any request, and answered with a count."""

    async def _attempts(self, exchange: Exchange, client: Client, plan: Plan) -> Reply:
        upstream = exchange.services.upstreams[plan.decision.route]
        how, count = "upstream", await _native(exchange, client, upstream) if upstream.speaks_messages else None
        if count is None:
            how, count = "tokenizer", await _tokenized(exchange, upstream)
        if count is None:
            ratios = exchange.services.state.token_ratios[upstream.label]
            how, count = "estimated", ratios.estimate(NO_USAGE, counted=exchange.counted(), events=0).prompt
        headers = {**exchange.headers(), HEADER: how, "content-type": "application/json"}
        return Reply(200, headers, msgspec.json.encode({"input_tokens": count}))


async def _native(exchange: Exchange, client: Client, upstream: Upstream) -> int | None:
    """The upstream's own count; None where it gives none. Raises UpstreamFailure where it refuses the request."""
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
        if failure.upstream_status in _INVALID:
            raise
        return None
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
