"""Settling a request: limits, metrics, log line and ledger, all from one record."""

from __future__ import annotations

import time

import msgspec

from breakeven.gateway.accounting.record import Outcome
from breakeven.gateway.observability import log
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.proxy.sampling import enqueue_sample

_encode = msgspec.json.Encoder().encode


def settle(exchange: Exchange) -> None:
    """Settle a request; called exactly once for each. Its record is in the ledger's journal when this returns."""
    plan = exchange.plan
    record = exchange.record()
    encoded = _encode(record)
    exchange.services.state.quotas.settle(exchange.caller, record)
    exchange.services.metrics.settle(record)
    if record.attempts:
        exchange.services.ledger.settle(record, encoded)
        if exchange.services.config.ledger.store_prompts and record.score is not None:
            assert plan is not None
            assert plan.conversation is not None
            exchange.services.state.prompts.add(record.id, record.at, plan.conversation.text)
    enqueue_sample(exchange, record)
    if plan is not None and plan.session is not None and record.route is not None and record.outcome is Outcome.OK:
        conversations = exchange.services.state.conversations
        conversations.remember(plan.session, plan.decision, exchange.escalated, record.route, time.time())
    log.settled(encoded)
