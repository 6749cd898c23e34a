"""Sampling requests for shadow traffic, on the request path: a random draw, and a copy of the answer's bytes."""

from __future__ import annotations

import random

from breakeven.gateway.accounting.record import Endpoint, Outcome, RequestRecord, ShadowResult
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.proxy.exchange import ClientRequest, Exchange
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.runtime.shadow_queue import ShadowSample
from breakeven.gateway.wire.chat_text import AnswerCapture
from breakeven.router.policy import Decision, Reason, Route
from breakeven.router.text import Conversation

_TEXT = frozenset({"text"})
_SAMPLED_REASONS = frozenset({Reason.EASY, Reason.STICKY})


def sample(
    services: Services, adapter: Adapter, request: ClientRequest, decision: Decision, read: Conversation | None
) -> AnswerCapture | None:
    """A capture for the answer if this request is sampled, else None.

    Only plain-text chats with one choice that the router sent to the student are sampled, with probability
    `road.sample`.
    """
    rate = services.config.road.sample
    if rate <= 0 or read is None or adapter.endpoint is not Endpoint.CHAT_COMPLETIONS:
        return None
    plain = read.modalities == read.outputs == _TEXT and not read.tools and request.choices == 1
    fits = plain and decision.route is Route.STUDENT and decision.reason in _SAMPLED_REASONS
    return AnswerCapture() if fits and random.random() < rate else None


def enqueue_sample(exchange: Exchange, record: RequestRecord) -> None:
    """Queue a settled request that was sampled, or count it as dropped if the queue is full. Never raises or waits."""
    services = exchange.services
    if exchange.plan is None or exchange.plan.capture is None:
        return
    if record.route is not Route.STUDENT or record.outcome is not Outcome.OK:
        return
    request, plan = exchange.admitted
    assert plan.capture is not None
    config = services.config.road
    if not services.state.drawn.put(ShadowSample(record, request.body, plan.capture, config.sample), config.max_queue):
        services.metrics.shadow.labels(ShadowResult.DROPPED_QUEUE).inc()
