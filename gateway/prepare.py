"""The first half of a request: checked, resolved, decided. Nothing has gone upstream yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec

from gateway import naming
from gateway.auth import client_key
from gateway.body import Body
from gateway.client import Client
from gateway.endpoints.base import Adapter
from gateway.errors import RequestError
from gateway.escalation import ENDPOINTS as ESCALATED_ENDPOINTS
from gateway.escalation import Probe
from gateway.exchange import Exchange
from gateway.services import Services
from gateway.shadow.draw import draw
from gateway.upstream import Upstream
from router.policy import Decision, Policy, Reason, Route, decide
from router.sticky import conversation_key, replayed
from router.text import Conversation

_log = logging.getLogger("breakeven.router")

# The headers of a client that go upstream; all others, keys and cookies among them, stay here.
_PASSED = ("openai-beta", "traceparent", "tracestate")
# The text that the router reads is bounded, and so is its time: well below this, a few milliseconds. It is the
# time that it worked: on a machine that is too busy it waits, and that says nothing about its answer.
_ROUTER_DEADLINE_SECONDS = 0.25
_TRUE = msgspec.Raw(b"true")
_OFF = frozenset({"false", "0", "off", "no"})
# Fields in which other gateways take an address or a key from the client; they end here.
NOT_HONOURED = ("api_key", "api_base", "base_url")
_BOTH = frozenset(Route)
_STUDENT = frozenset({Route.STUDENT})
_JUDGED = frozenset({Reason.EASY, Reason.STICKY})
_STUDENT_CANNOT = frozenset({Reason.MODALITY, Reason.TOOLS, Reason.CONTEXT})


async def prepare(exchange: Exchange, client: Client) -> None:
    """Authenticate, read and check the body, resolve the model's name, decide.

    Raises RequestError; the exchange then ends as rejected.
    """
    services = exchange.services
    exchange.client_key = client_key(services.keys, client.headers.get("authorization"))
    exchange.key = exchange.client_key.name if exchange.client_key is not None else None
    if services.state.draining:
        raise shutting_down()
    server = services.config.server
    body = Body(await client.read_body(server.max_body_bytes, server.read_seconds))
    client.watch()
    exchange.student_only = services.state.quotas.admit(exchange.client_key)
    exchange.body = body
    exchange.adapter.check(body)
    exchange.stream = exchange.adapter.streams and (body.get("stream", bool, "true or false") or False)
    exchange.choices = exchange.adapter.choices(body)
    options: dict[str, Any] = body.get("stream_options", dict[str, Any], "an object") or {}
    exchange.wants_usage = exchange.stream and options.get("include_usage") is True
    target = naming.resolve(body.get("model", str, "a string"), services.config)
    if target.pin is None and exchange.adapter.unrouted is not None:
        target = naming.Target(exchange.adapter.unrouted, None)
    exchange.pinned = target.pin is not None
    asked = client.headers.get("x-breakeven-fallback", "true").strip().lower() not in _OFF
    exchange.may_fall_back = services.config.routing.fallback and asked
    started, worked = time.perf_counter(), time.thread_time()
    exchange.decision = _decide(exchange, body, client.headers.get("x-breakeven-conversation"))
    exchange.router_seconds = time.perf_counter() - started
    scored = exchange.decision.score is not None and not exchange.student_only
    if scored and time.thread_time() - worked > _ROUTER_DEADLINE_SECONDS and Route.TEACHER in services.available:
        exchange.decision = _too_late(exchange.decision)
    if exchange.pinned or exchange.decision.reason in _STUDENT_CANNOT:
        exchange.may_fall_back = False
    exchange.probe = _probe(exchange, body)
    exchange.tap = draw(exchange)
    body.forget()


def _probe(exchange: Exchange, body: Body) -> Probe | None:
    """What judges the student's answer, where the config wants that and the teacher could answer instead."""
    services, decision = exchange.services, exchange.decision
    rule = services.policies.active.escalation
    if rule is None or decision is None or exchange.adapter.endpoint not in ESCALATED_ENDPOINTS:
        return None
    judged = decision.route is Route.STUDENT and decision.reason in _JUDGED and exchange.choices == 1
    return Probe(rule, exchange.adapter.endpoint, body) if judged and Route.TEACHER in services.available else None


def upstream_body(exchange: Exchange, upstream: Upstream) -> bytes:
    """The client's body with what one upstream needs otherwise, and nothing else changed."""
    assert exchange.body is not None
    body = exchange.body.copy()
    body.set("model", upstream.config.model)
    for name in NOT_HONOURED:
        body.remove(name)
    if exchange.stream and exchange.adapter.stream_options:
        options: dict[str, Any] = body.get("stream_options", dict[str, msgspec.Raw], "an object") or {}
        if options.get("include_usage") != _TRUE:
            body.set("stream_options", {**options, "include_usage": True})
    if exchange.adapter.renames_limit:
        one_output_limit(body, upstream.config.max_tokens_field)
    if exchange.probe is not None and upstream.route is Route.STUDENT:
        exchange.probe.ask(body)
    return body.encode()


def upstream_headers(exchange: Exchange, client: Client) -> dict[str, str]:
    """The head of a request upstream, without authorization."""
    headers = {"content-type": "application/json", "x-request-id": exchange.request_id}
    headers["accept"] = "text/event-stream" if exchange.stream else "application/json"
    for name in _PASSED:
        if name in client.headers:
            headers[name] = client.headers[name]
    return headers


def _decide(exchange: Exchange, body: Body, named: str | None) -> Decision:
    available = exchange.services.available
    if exchange.student_only:
        return _student_only(exchange, body, available)
    if not available:
        raise overloaded(exchange, Route.TEACHER)
    exchange.previous = exchange.adapter.previous(body)
    holder = exchange.services.state.responses.get(exchange.previous)
    if holder is not None and not exchange.pinned:
        # No other upstream knows the conversation.
        exchange.may_fall_back = False
        if holder not in available:
            raise overloaded(exchange, holder)
        return Decision(holder, Reason.STICKY, None, exchange.services.policy.threshold, None)
    # Without fallback a request waits for its own upstream, and is refused where that is not there.
    decision = decision_for(
        exchange.services,
        exchange.adapter,
        body,
        available=available if exchange.may_fall_back else None,
        held=lambda conversation, policy: _held(exchange, named, conversation, policy),
    )
    if decision.route not in available:
        raise overloaded(exchange, decision.route)
    return decision


def _held(exchange: Exchange, named: str | None, conversation: Conversation, policy: Policy) -> Route | None:
    """The upstream that this conversation is on; None for its first turn and where steadiness is off."""
    services = exchange.services
    exchange.conversation_seen = conversation
    if not services.config.routing.sticky or exchange.pinned or not (named or conversation.opening):
        return None
    exchange.conversation = conversation_key(exchange.key, named, conversation.opening)
    if not (named or conversation.earlier):
        return None
    known = services.state.conversations.recall(exchange.conversation, time.monotonic())
    return known or replayed(conversation.earlier, services.artifact.assess, policy)


def decision_for(
    services: Services,
    adapter: Adapter,
    body: Body,
    available: frozenset[Route] | None,
    held: Callable[[Conversation, Policy], Route | None] = lambda *_: None,
) -> Decision:
    """Where this body goes and why, without a call; an `available` of None is both upstreams.

    Raises RequestError for a model name that means nothing.
    """
    target = naming.resolve(body.get("model", str, "a string"), services.config)
    if target.pin is None and adapter.unrouted is not None:
        target = naming.Target(adapter.unrouted, None)
    policy = services.policy
    if target.threshold is not None:
        policy = policy._replace(threshold=target.threshold)
    limit = adapter.max_output_tokens(body)
    try:
        conversation = adapter.conversation(body)
        return decide(
            conversation,
            pin=target.pin,
            policy=policy,
            student=services.student,
            max_output_tokens=limit,
            available=_BOTH if available is None else available,
            assess=services.artifact.assess,
            held=held(conversation, policy),
            band=services.artifact.noise,
        )
    except Exception as error:  # a classifier that fails must not fail the request
        _log.error("the router failed with %s; the teacher answers", type(error).__name__)
        return Decision(Route.TEACHER, Reason.ROUTER_ERROR, None, policy.threshold, None)


def _student_only(exchange: Exchange, body: Body, available: frozenset[Route]) -> Decision:
    """The decision for a key that has no money left for the teacher. Raises RequestError where only it would do."""
    exchange.may_fall_back = False
    decision = decision_for(exchange.services, exchange.adapter, body, available=_STUDENT)
    if decision.route is not Route.STUDENT:
        raise exchange.services.state.quotas.over_budget()
    if Route.STUDENT not in available:
        raise overloaded(exchange, Route.STUDENT)
    return decision


def _too_late(decision: Decision) -> Decision:
    """A classifier that takes this long is not to be relied on: the teacher, as where it fails."""
    _log.error("the router took longer than %g s; the teacher answers", _ROUTER_DEADLINE_SECONDS)
    return Decision(Route.TEACHER, Reason.ROUTER_ERROR, None, decision.threshold, None)


def shutting_down() -> RequestError:
    """The refusal of a gateway that ends."""
    return RequestError(
        503,
        "The gateway is shutting down; try again.",
        type="server_error",
        code="draining",
        headers={"retry-after": "1"},
    )


def overloaded(exchange: Exchange, route: Route) -> RequestError:
    """The refusal where no upstream that could answer may be called: 429 when full, 503 when down."""
    upstream = exchange.services.upstreams[route]
    if upstream.breaker.allows:
        return RequestError(
            429,
            f"The {route} is at its limit of concurrent requests; try again.",
            type="rate_limit_error",
            code="rate_limit_exceeded",
            headers={"retry-after": "1"},
        )
    seconds = max(1, round(upstream.breaker.retry_after_seconds()))
    return RequestError(
        503,
        f"The {route} has failed repeatedly and is left alone for now; try again.",
        type="server_error",
        code="upstream_unavailable",
        headers={"retry-after": str(seconds)},
    )


def one_output_limit(body: Body, field: str | None) -> None:
    """Leave one spelling of the output limit: `field` where the upstream takes only that."""
    older, newer = "max_tokens", "max_completion_tokens"
    if older in body and newer in body:
        body.remove(older)
    if field is not None:
        body.rename(older if field == newer else newer, field)
