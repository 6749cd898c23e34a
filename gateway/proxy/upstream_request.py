"""The request sent upstream: the client's body with the edits that one upstream needs, and its headers."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.endpoints.base import Adapter, Translation
from breakeven.gateway.proxy.downstream import Client
from breakeven.gateway.proxy.escalation import ENDPOINTS as PROBED
from breakeven.gateway.proxy.escalation import request_logprobs
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.trace_context import TRACEPARENT, TRACESTATE, Trace
from breakeven.router.policy import Route

_TRUE = msgspec.Raw(b"true")
# The field of vLLM and SGLang, and of the student's config, for variables of the chat template.
_VARIABLES = "chat_template_kwargs"
# Fields in which other gateways accept an address or a key from the client; removed, so that no upstream does.
NOT_HONOURED = ("api_key", "api_base", "base_url")


# Fields that only concern delivery to the client, or storage at the upstream.
_DELIVERY = ("stream", "stream_options", "logprobs", "top_logprobs", "store", "background")


class Aside(NamedTuple):
    """How a request is asked aside, for a comparison: with what models thought in it, of which `maker`, if known, made
    the last answer; and for an answer with log-probabilities, where the API has them.
    """

    thoughts: bool
    maker: Route | None
    logprobs: bool


class Prepared(NamedTuple):
    """A request as an upstream gets it, with the adapter of the API that it is in; `translation`: how it and its answer
    are translated, None where they are of the client's API.
    """

    body: bytes
    adapter: Adapter
    translation: Translation | None


def prepared(exchange: Exchange, upstream: Upstream) -> Prepared:
    """The request in an API that the upstream speaks. Raises as `upstream_body` does."""
    adapter = exchange.adapter
    if not adapter.translates:
        return Prepared(upstream_body(exchange, upstream), adapter, None)
    translation = adapter.translation(exchange.admitted[0].body, native=upstream.speaks_messages)
    spoken = adapter if translation is None else translation.reader
    return Prepared(upstream_body(exchange, upstream, translation), spoken, translation)


def upstream_body(exchange: Exchange, upstream: Upstream, translation: Translation | None = None) -> bytes:
    """The client's body as JSON, with the upstream's model name and the options that the gateway needs.

    `translation`: how it is said in an API that the upstream speaks, None where it is sent as it came. Streams ask for
    usage, and with a probe for log-probabilities. What another upstream's model thought is removed where this one
    cannot read it, or has refused it; everything else is unchanged byte for byte. Empty where the request is about a
    stored response. Raises Untranslatable, and RequestError 400 for what cannot be translated since it is not valid.
    """
    (request, plan), adapter, route = exchange.admitted, exchange.adapter, upstream.route
    if adapter.endpoint is Endpoint.STORED_RESPONSES:
        return b""
    body, probe = request.body.copy(), exchange.probe(route)
    if exchange.portable and upstream.label in exchange.portable:
        adapter.make_portable(body, route)
    elif plan.conversation is not None and plan.conversation.thoughts:
        foreign = plan.providers is not None and plan.providers.foreign_to(upstream)
        # What another provider encrypted, or names by its id alone, this one reads no better than the student does.
        adapter.remove_foreign(body, Route.STUDENT if foreign else route, plan.maker)
    body, adapter = _addressed(body, adapter, translation, upstream)
    if request.stream and adapter.stream_options:
        options: dict[str, Any] = body.get("stream_options", dict[str, msgspec.Raw], "an object") or {}
        if options.get("include_usage") != _TRUE:
            body.set("stream_options", {**options, "include_usage": True})
    if probe is not None:
        probe.request_logprobs(body)
    return body.encode()


def compared(asked: Body, adapter: Adapter, upstream: Upstream, aside: Aside) -> Prepared:
    """A client's request as an attempt at `upstream` would have it, for the answer that nobody waits for: whole, and
    not stored there. `asked` is left as it is. Raises as `upstream_body` does.
    """
    translation = adapter.translation(asked, native=upstream.speaks_messages)
    body = asked.copy()
    if aside.thoughts:
        adapter.remove_foreign(body, upstream.route, aside.maker)
    else:
        adapter.make_portable(body, upstream.route)
    body, spoken = _addressed(body, adapter, translation, upstream)
    for name in _DELIVERY:
        body.remove(name)
    if spoken.endpoint is Endpoint.RESPONSES:
        # Without the field it would be stored.
        body.set("store", False)
    if aside.logprobs and spoken.endpoint in PROBED and not body.boolean("echo"):
        request_logprobs(body, chat=spoken.endpoint is Endpoint.CHAT_COMPLETIONS)
    return Prepared(body.encode(), spoken, translation)


def _addressed(
    body: Body, adapter: Adapter, translation: Translation | None, upstream: Upstream
) -> tuple[Body, Adapter]:
    """The body, edited, in an API that the upstream speaks and with its model's name, and the adapter of that API."""
    if translation is not None:
        body, adapter = translation.request(body, upstream.route), translation.reader
    body.set("model", upstream.config.model)
    for name in NOT_HONOURED:
        body.remove(name)
    if adapter.renames_limit:
        one_output_limit(body, upstream.config.max_tokens_field)
    variables = getattr(upstream.config, _VARIABLES, None)
    if variables and adapter.endpoint is Endpoint.CHAT_COMPLETIONS:
        body.set(_VARIABLES, variables | (body.get(_VARIABLES, dict[str, msgspec.Raw], "an object") or {}))
    return body, adapter


def upstream_headers(exchange: Exchange, client: Client, upstream: Upstream, sent: Prepared) -> dict[str, str]:
    """The headers of a request upstream, names in lower case: the gateway's own, those of the client that the config
    passes to this upstream, and those of the API that is spoken. The transport adds those of the config.
    """
    request = exchange.admitted_request
    headers = {"x-request-id": client.request_id}
    if sent.body:
        headers["content-type"] = request.body.content_type
    headers["accept"] = "text/event-stream" if request.stream else "application/json"
    if sent.adapter.opaque:
        # The answer may be of any kind, and is the client's to choose.
        headers["accept"] = client.headers.get("accept", "*/*")
    if not upstream.passes.isdisjoint(client.headers):
        for name in upstream.passed_headers:
            if name in client.headers:
                headers[name] = client.headers[name]
    for name, usual in sent.adapter.version_headers.items():
        value = client.headers.get(name, usual)
        if value is not None and name not in upstream.config.headers:
            headers[name] = value
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
