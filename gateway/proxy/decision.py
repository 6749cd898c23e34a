"""Where an admitted request goes and why: the routing decision, session affinity, and what watches the answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.errors import RequestError
from breakeven.gateway.proxy.admission import target
from breakeven.gateway.proxy.escalation import ENDPOINTS as ESCALATED_ENDPOINTS
from breakeven.gateway.proxy.escalation import Probe
from breakeven.gateway.proxy.exchange import Asked, Exchange, Plan
from breakeven.gateway.proxy.sampling import draw
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.wire.body import Body
from breakeven.router.policy import Decision, Policy, Reason, Route, decide
from breakeven.router.sticky import conversation_key, replayed
from breakeven.router.text import Conversation

_log = logging.getLogger("breakeven.router")

# The text that the router reads is bounded, and so is its time: well below this, a few milliseconds. It is the
# time that it worked: on a machine that is too busy it waits, and that says nothing about its answer.
_ROUTER_DEADLINE_SECONDS = 0.25
_BOTH = frozenset(Route)
_STUDENT = frozenset({Route.STUDENT})
_JUDGED = frozenset({Reason.EASY, Reason.STICKY})
_STUDENT_CANNOT = frozenset({Reason.MODALITY, Reason.TOOLS, Reason.CONTEXT})


def plan(exchange: Exchange, asked: Asked) -> Plan:
    """Decide where the request goes. Raises RequestError 429 or 503 where no upstream that could answer may be
    called, and 429 where only the teacher could and the key's budget is spent.
    """
    services, adapter = exchange.services, exchange.adapter
    started, worked = time.perf_counter(), time.thread_time()
    found = _Found(exchange, asked)
    decision = found.decide()
    router_seconds = time.perf_counter() - started
    scored = decision.score is not None and not asked.student_only
    if scored and time.thread_time() - worked > _ROUTER_DEADLINE_SECONDS and Route.TEACHER in services.available:
        decision = _too_late(decision)
    made = Plan(
        decision=decision,
        may_fall_back=found.may_fall_back and not (asked.pinned or decision.reason in _STUDENT_CANNOT),
        previous=found.previous,
        session=found.session,
        conversation=found.conversation,
        router_seconds=router_seconds,
        probe=_probe(services, adapter, asked, decision),
        tap=draw(services, adapter, asked, decision, found.conversation),
    )
    asked.body.forget()
    return made


class _Found:
    """One routing decision, with what is found out on the way to it."""

    def __init__(self, exchange: Exchange, asked: Asked) -> None:
        self._services = exchange.services
        self._adapter = exchange.adapter
        self._caller = exchange.caller.name if exchange.caller else None
        self._asked = asked
        self.may_fall_back = asked.may_fall_back and not asked.student_only
        self.previous: str | None = None
        self.session: bytes | None = None
        self.conversation: Conversation | None = None

    def decide(self) -> Decision:
        """Raises RequestError, see `plan`."""
        services, body, available = self._services, self._asked.body, self._services.available
        if self._asked.student_only:
            return _student_only(services, self._adapter, body, available)
        if not available:
            raise overloaded(services, Route.TEACHER)
        self.previous = self._adapter.previous(body)
        holder = services.state.responses.get(self.previous)
        if holder is not None and not self._asked.pinned:
            # No other upstream knows the conversation.
            self.may_fall_back = False
            if holder not in available:
                raise overloaded(services, holder)
            return Decision(holder, Reason.STICKY, None, services.policy.threshold, None)
        # Without fallback a request waits for its own upstream, and is refused where that is not there.
        offered = available if self.may_fall_back else None
        decision = decision_for(services, self._adapter, body, available=offered, held=self._held)
        if decision.route not in available:
            raise overloaded(services, decision.route)
        return decision

    def _held(self, conversation: Conversation, policy: Policy) -> Route | None:
        """The upstream that this conversation is on; None for its first turn and where session affinity is off."""
        services, asked = self._services, self._asked
        named = asked.conversation_id
        self.conversation = conversation
        if not services.config.routing.sticky or asked.pinned or not (named or conversation.opening):
            return None
        self.session = conversation_key(self._caller, named, conversation.opening)
        if not (named or conversation.earlier):
            return None
        known = services.state.conversations.recall(self.session, time.monotonic())
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
    wanted = target(services, adapter, body)
    policy = services.policy
    if wanted.threshold is not None:
        policy = policy._replace(threshold=wanted.threshold)
    limit = adapter.max_output_tokens(body)
    try:
        conversation = adapter.conversation(body)
        return decide(
            conversation,
            pin=wanted.pin,
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


def _student_only(services: Services, adapter: Adapter, body: Body, available: frozenset[Route]) -> Decision:
    """The decision for a key that has no money left for the teacher. Raises RequestError where only it would do."""
    decision = decision_for(services, adapter, body, available=_STUDENT)
    if decision.route is not Route.STUDENT:
        raise services.state.quotas.over_budget()
    if Route.STUDENT not in available:
        raise overloaded(services, Route.STUDENT)
    return decision


def _too_late(decision: Decision) -> Decision:
    """A classifier that takes this long is not to be relied on: the teacher, as where it fails."""
    _log.error("the router took longer than %g s; the teacher answers", _ROUTER_DEADLINE_SECONDS)
    return Decision(Route.TEACHER, Reason.ROUTER_ERROR, None, decision.threshold, None)


def _probe(services: Services, adapter: Adapter, asked: Asked, decision: Decision) -> Probe | None:
    """What judges the student's answer, where the config wants that and the teacher could answer instead."""
    rule = services.policies.active.escalation
    if rule is None or adapter.endpoint not in ESCALATED_ENDPOINTS:
        return None
    judged = decision.route is Route.STUDENT and decision.reason in _JUDGED and asked.choices == 1
    return Probe(rule, adapter.endpoint, asked.body) if judged and Route.TEACHER in services.available else None


def overloaded(services: Services, route: Route) -> RequestError:
    """The refusal where no upstream that could answer may be called: 429 when full, 503 when down."""
    upstream = services.upstreams[route]
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
