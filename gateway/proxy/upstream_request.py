"""The request sent upstream: the client's body with the edits that one upstream needs, and its headers."""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.proxy.downstream import Client
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.trace_context import TRACEPARENT, TRACESTATE, Trace
from breakeven.router.policy import Route

_TRUE = msgspec.Raw(b"true")
# Fields in which other gateways accept an address or a key from the client; removed, so that no upstream does.
NOT_HONOURED = ("api_key", "api_base", "base_url")


def upstream_body(exchange: Exchange, upstream: Upstream) -> bytes:
    """The client's body as JSON, with the upstream's model name and the options that the gateway needs.

    Streams ask for usage, and with a probe for log-probabilities. What another upstream's model thought is removed
    where this one cannot read it, or has refused it; everything else is unchanged byte for byte. Empty where the
    request is about a stored response.
    """
    (request, plan), adapter, route = exchange.admitted, exchange.adapter, upstream.route
    if adapter.endpoint is Endpoint.STORED_RESPONSES:
        return b""
    body, probe = request.body.copy(), exchange.probe(route)
    if upstream.label in exchange.without_thoughts:
        adapter.remove_thoughts(body, route)
    elif plan.conversation is not None and plan.conversation.thoughts:
        foreign = plan.providers is not None and plan.providers.foreign_to(upstream)
        # What another provider encrypted, or names by its id alone, this one reads no better than the student does.
        adapter.remove_foreign(body, Route.STUDENT if foreign else route, plan.maker)
    body.set("model", upstream.config.model)
    for name in NOT_HONOURED:
        body.remove(name)
    if request.stream and adapter.stream_options:
        options: dict[str, Any] = body.get("stream_options", dict[str, msgspec.Raw], "an object") or {}
        if options.get("include_usage") != _TRUE:
            body.set("stream_options", {**options, "include_usage": True})
    if adapter.renames_limit:
        one_output_limit(body, upstream.config.max_tokens_field)
    if probe is not None:
        probe.request_logprobs(body)
    return body.encode()


def upstream_headers(exchange: Exchange, client: Client, upstream: Upstream, *, body: bool) -> dict[str, str]:
    """The headers of a request upstream, names in lower case: the gateway's own, and those of the client that the
    config passes to this upstream. `body`: whether there is one. The transport adds those of the config.
    """
    headers = {"x-request-id": client.request_id}
    if body:
        headers["content-type"] = "application/json"
    headers["accept"] = "text/event-stream" if exchange.admitted[0].stream else "application/json"
    for name in upstream.passed_headers:
        if name in client.headers:
            headers[name] = client.headers[name]
    if exchange.trace is not None:
        _continue_trace(exchange.trace, upstream, headers)
    return headers


def _continue_trace(trace: Trace, upstream: Upstream, headers: dict[str, str]) -> None:
    """Put the attempt's own span into the headers, where the config passes traceparent to this upstream."""
    onward = trace.onward()
    if TRACEPARENT in upstream.passed_headers:
        headers[TRACEPARENT] = onward
    if not trace.state:
        headers.pop(TRACESTATE, None)


def one_output_limit(body: Body, field: str | None) -> None:
    """Leave one spelling of the output limit in the body: `field`, or with None the newer of those given."""
    older, newer = "max_tokens", "max_completion_tokens"
    if older in body and newer in body:
        body.remove(newer if body.is_null(newer) and not body.is_null(older) else older)
    if field is not None:
        body.rename(older if field == newer else newer, field)
