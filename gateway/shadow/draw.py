"""Drawing requests for shadow traffic, on the request path: a random number, and a copy of the answer's bytes."""

from __future__ import annotations

import random

from gateway.exchange import Exchange
from gateway.record import Endpoint, Outcome, RequestRecord
from gateway.shadow.answers import Tap
from gateway.shadow.queue import Drawn, Result
from router.policy import Reason, Route

_TEXT = frozenset({"text"})
_DRAWN = frozenset({Reason.EASY, Reason.STICKY})


def draw(exchange: Exchange) -> Tap | None:
    """A tap for the answer where this request is drawn: a plain chat that the router gave to the student."""
    rate, decision, seen = exchange.services.config.shadow.rate, exchange.decision, exchange.conversation_seen
    if rate <= 0 or decision is None or seen is None or exchange.adapter.endpoint is not Endpoint.CHAT_COMPLETIONS:
        return None
    plain = seen.modalities == _TEXT and not seen.tools and exchange.choices == 1
    fits = plain and decision.route is Route.STUDENT and decision.reason in _DRAWN
    return Tap() if fits and random.random() < rate else None


def offer(exchange: Exchange, record: RequestRecord) -> None:
    """Queue a settled request that was drawn. Never raises and never waits."""
    services = exchange.services
    if exchange.tap is None or record.route is not Route.STUDENT or record.outcome is not Outcome.OK:
        return
    assert exchange.body is not None
    config = services.config.shadow
    if not services.state.drawn.put(Drawn(record, exchange.body, exchange.tap, config.rate), config.max_queue):
        services.metrics.shadow.labels(Result.DROPPED_QUEUE).inc()
