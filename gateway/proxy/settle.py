"""Settling a request: limits, metrics, log line and ledger, all from one record."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.observability import log
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.proxy.background import defer, waits
from breakeven.gateway.proxy.counting import count, countable
from breakeven.gateway.proxy.exchange import Exchange, Plan
from breakeven.gateway.proxy.keeping import keep
from breakeven.gateway.proxy.ownership import note_made
from breakeven.gateway.proxy.sampling import draw
from breakeven.gateway.proxy.tracing import record_spans
from breakeven.router.policy import Reason

_log = logging.getLogger("breakeven.relay")
_encode = msgspec.json.Encoder().encode


def conclude(exchange: Exchange) -> None:
    """End a request whose last bytes are about to be sent: settle it, or have its unreported tokens counted first.

    What is counted is counted in a task of its own, for two seconds at most, so that no client waits for it.
    """
    exchange.end()
    if exchange.response_id is not None:
        defer(exchange)
    plan, route = exchange.plan, exchange.route
    if plan is not None and plan.session is not None and route is not None and exchange.answered:
        conversations = exchange.services.state.conversations
        provider = exchange.attempts[-1].provider
        conversations.remember(plan.session, plan.decision, exchange.escalated, route, time.time(), provider)
    attempts = countable(exchange)
    if not attempts:
        settle(exchange)
        return
    counting = exchange.services.state.counting
    task = asyncio.create_task(_count_and_settle(exchange, attempts))
    counting.add(task)
    task.add_done_callback(counting.discard)


async def _count_and_settle(exchange: Exchange, attempts: list[Attempt]) -> None:
    try:
        await count(exchange, attempts)
    except Exception as error:  # catch-all: the request is settled with estimates
        _log.error("tokens could not be counted: %s", type(error).__name__)
    finally:
        settle(exchange)


def settle(exchange: Exchange) -> None:
    """Settle a request; called exactly once for each. Its record is in the ledger's journal when this returns, or with
    an answer that is made in the background waits in a file beside it.
    """
    plan = exchange.plan
    record = exchange.record()
    encoded = _encode(record)
    exchange.services.metrics.settle(record)
    if exchange.response_id is not None:
        note_made(exchange)
    stored = bool(record.attempts) and exchange.adapter.in_ledger
    waiting = stored and exchange.response_id is not None and waits(exchange, record)
    if not waiting:
        exchange.services.state.quotas.settle(exchange.caller, record, stored=stored)
    if stored:
        if not waiting:
            exchange.services.ledger.settle(record, encoded)
        if exchange.services.config.ledger.store_prompts and plan is not None:
            _store_prompt(exchange, plan, record)
        if exchange.services.config.ledger.store_conversations:
            keep(exchange, record)
    draw(exchange, record)
    log.settled(record, encoded, exchange.services.config.log)
    if exchange.trace is not None:
        record_spans(exchange, record, exchange.trace)


def _store_prompt(exchange: Exchange, plan: Plan, record: RequestRecord) -> None:
    """Store the text of a request that was routed, unless its key has opted out."""
    seen, caller = plan.conversation, exchange.caller
    if seen is None or not seen.text or record.pinned or record.reason is Reason.NO_STUDENT:
        return
    if caller is None or caller.store:
        exchange.services.state.prompts.add((record.id, record.at, seen.text))
