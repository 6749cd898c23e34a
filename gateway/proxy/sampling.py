"""Drawing requests for shadow traffic, on the request path: a random number, and a copy of the answer's bytes."""

from __future__ import annotations

import random

from breakeven.gateway.accounting.record import Endpoint, Outcome, RequestRecord, ShadowResult
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.proxy.exchange import Asked, Exchange
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.runtime.shadow_queue import Drawn
from breakeven.gateway.wire.chat_text import Tap
from breakeven.router.policy import Decision, Reason, Route
from breakeven.router.text import Conversation

_TEXT = frozenset({"text"})
_DRAWN = frozenset({Reason.EASY, Reason.STICKY})


def draw(
    services: Services, adapter: Adapter, asked: Asked, decision: Decision, read: Conversation | None
) -> Tap | None:
    """A tap for the answer where this request is drawn: a plain chat that the router gave to the student."""
    rate = services.config.shadow.rate
    if rate <= 0 or read is None or adapter.endpoint is not Endpoint.CHAT_COMPLETIONS:
        return None
    plain = read.modalities == _TEXT and not read.tools and asked.choices == 1
    fits = plain and decision.route is Route.STUDENT and decision.reason in _DRAWN
    return Tap() if fits and random.random() < rate else None


def offer(exchange: Exchange, record: RequestRecord) -> None:
    """Queue a settled request that was drawn. Never raises and never waits."""
    services = exchange.services
    if exchange.plan is None or exchange.plan.tap is None:
        return
    if record.route is not Route.STUDENT or record.outcome is not Outcome.OK:
        return
    asked, plan = exchange.admitted
    assert plan.tap is not None
    config = services.config.shadow
    if not services.state.drawn.put(Drawn(record, asked.body, plan.tap, config.rate), config.max_queue):
        services.metrics.shadow.labels(ShadowResult.DROPPED_QUEUE).inc()
