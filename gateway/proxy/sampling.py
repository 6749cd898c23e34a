"""Drawing settled requests to be compared: whether a request can be, and whether it is, with a known probability."""

from __future__ import annotations

import logging
import random

from breakeven.gateway.accounting.record import ComparisonResult, Endpoint, Outcome, RequestRecord
from breakeven.gateway.proxy.exchange import ClientRequest, Exchange, Plan
from breakeven.gateway.road.sampling import HARD, most_probable, probability
from breakeven.gateway.road.stages import Direction
from breakeven.gateway.runtime.comparison_queue import Discarded, Drawn
from breakeven.router.policy import STORED, Assessment, Reason, Route

_log = logging.getLogger("breakeven.comparing")

_ENDPOINTS = frozenset({Endpoint.CHAT_COMPLETIONS, Endpoint.COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES})
# Decisions that either upstream could have answered.
_REASONS = frozenset({Reason.OBSERVE, Reason.NOVEL, Reason.DIFFICULT, Reason.EASY, Reason.STICKY})


def draw(exchange: Exchange, record: RequestRecord) -> None:
    """Queue a settled request to be compared, or count it as dropped if the queue is full; nothing if it cannot be
    compared or is not drawn. Never raises or waits.
    """
    request, plan = exchange.request, exchange.plan
    if request is None or plan is None or record.outcome is not Outcome.OK:
        return
    rates = request.unit.rates
    direction = Direction.STUDENT_ANSWERED if record.route is Route.STUDENT else Direction.TEACHER_ANSWERED
    base = rates.student_answered if direction is Direction.STUDENT_ANSWERED else rates.teacher_answered
    if base <= 0.0 or not _comparable(exchange, request, plan):
        return
    drawn_with = _drawn_with(exchange, request, plan, base)
    if drawn_with is None or exchange.deferred:
        return
    services, last = exchange.services, exchange.attempts[-1]
    if last.kept_events is not None:
        # It is longer than what is kept of it.
        services.metrics.compared(record.workload, direction, ComparisonResult.UNREADABLE)
        return
    drawn = Drawn(
        record,
        exchange.adapter,
        request.body,
        request.versions,
        b"".join(last.segments),
        direction,
        drawn_with,
        plan.maker,
        _discarded(exchange) if direction is Direction.TEACHER_ANSWERED else None,
    )
    if not services.state.drawn.put(drawn, services.config.road.max_queue):
        services.metrics.compared(record.workload, direction, ComparisonResult.DROPPED_QUEUE)


def _comparable(exchange: Exchange, request: ClientRequest, plan: Plan) -> bool:
    """Whether the other upstream can be asked the same, and may be."""
    if exchange.adapter.endpoint not in _ENDPOINTS or request.pinned or request.choices != 1 or request.student_only:
        return False
    decision, seen, caller = plan.decision, plan.conversation, exchange.caller
    if decision.reason not in _REASONS or (decision.hold is not None and decision.hold.why == STORED):
        return False
    # Nor what names state of one upstream, or has no text to judge by.
    if seen is None or not seen.text or seen.made or seen.stored or seen.background:
        return False
    return (caller is None or caller.store) and exchange.adapter.previous(request.body) is None


def _drawn_with(exchange: Exchange, request: ClientRequest, plan: Plan, base: float) -> float | None:
    """The probability with which the request was drawn; None where it was not."""
    if base >= 1.0:
        return 1.0
    chance, unit, decision = random.random(), request.unit, plan.decision
    if chance >= most_probable(base):
        return None
    assert plan.conversation is not None
    if decision.score is not None:
        assessment = Assessment(decision.score, decision.novelty)
    else:
        try:
            assessment = unit.artifact.assess(plan.conversation.text)
        except Exception as error:  # a bug in the router must not fail the request
            _log.error("the router failed with %s; a request is not compared", type(error).__name__)
            return None
    hard = exchange.services.state.units.share_thresholds.get(request.workload, HARD)
    drawn_with = probability(base, assessment, hard)
    return drawn_with if chance < drawn_with else None


def _discarded(exchange: Exchange) -> Discarded | None:
    """The student's answer that was discarded for the teacher's; None if none was, or the candidate's."""
    for attempt in exchange.attempts:
        if attempt.escalated and not attempt.provider:
            return Discarded(b"".join(attempt.segments), attempt.outcome is Outcome.OK, attempt.usage)
    return None
