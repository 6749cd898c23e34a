"""The routing decision for an admitted request: upstream, reason, session affinity, fallback and probe."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.policy.model_names import Target, teacher_not_allowed
from breakeven.gateway.policy.unit import Unit
from breakeven.gateway.proxy.admission import target
from breakeven.gateway.proxy.candidate import of_candidate
from breakeven.gateway.proxy.escalation import ENDPOINTS as ESCALATED_ENDPOINTS
from breakeven.gateway.proxy.escalation import Probe
from breakeven.gateway.proxy.exchange import ClientRequest, Exchange, Plan
from breakeven.gateway.proxy.providers import Providers, providers_for
from breakeven.gateway.proxy.session import Turn
from breakeven.gateway.proxy.unavailable import unavailable
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.wire.body import Body
from breakeven.router.policy import ROUTED, STORED, Assessment, Decision, Hold, Policy, Reason, Route, decide
from breakeven.router.sticky import Session
from breakeven.router.text import Conversation

_log = logging.getLogger("breakeven.router")

# CPU time after which a decision is not used. The text that the router reads is bounded, so a decision takes a few
# milliseconds. Not wall-clock time: that also grows on an overloaded machine, which says nothing about the decision.
_ROUTER_DEADLINE_SECONDS = 0.25
_BOTH = frozenset(ROUTED)
_STUDENT = frozenset({Route.STUDENT})
_FUNCTION = frozenset({"function"})
_ESCALATABLE_REASONS = frozenset({Reason.EASY, Reason.STICKY})
_STUDENT_INCAPABLE = frozenset({Reason.MODALITY, Reason.TOOLS, Reason.CONTEXT})


def plan(exchange: Exchange, request: ClientRequest) -> Plan:
    """Decide which upstream gets the request, and what is done with its answer.

    Raises RequestError: 429 where the upstreams that could answer are at their limit, 503 where they are down, and 429
    where only the teacher could answer and the key's budget is spent.
    """
    services, adapter = exchange.services, exchange.adapter
    started, cpu_started = time.perf_counter(), time.thread_time()
    routing = _Routing(exchange, request)
    decision = routing.decide()
    router_seconds = time.perf_counter() - started
    scored = decision.score is not None and not request.student_only
    if scored and time.thread_time() - cpu_started > _ROUTER_DEADLINE_SECONDS and Route.TEACHER in services.available:
        decision = _router_timed_out(decision)
    made = Plan(
        decision=decision,
        may_fall_back=routing.may_fall_back and not (request.pinned or decision.reason in _STUDENT_INCAPABLE),
        may_be_elsewhere=routing.may_be_elsewhere(decision),
        maker=routing.maker,
        session=routing.session(decision),
        providers=routing.providers,
        conversation=routing.conversation,
        router_seconds=router_seconds,
        probe=_probe(services, adapter, request, decision),
        by_candidate=routing.by_candidate(decision),
    )
    request.body.clear_cache()
    return made


class _Routing:
    """One routing decision, and the facts about the request that are established while it is made."""

    def __init__(self, exchange: Exchange, request: ClientRequest) -> None:
        self._exchange = exchange
        self._services = exchange.services
        self._adapter = exchange.adapter
        self._caller = exchange.caller.name if exchange.caller else None
        self._request = request
        self.may_fall_back = request.may_fall_back and not request.student_only
        self.previous: str | None = None
        self._stored_on: Route | None = None
        self._stored_at: str | None = None
        self._turn: Turn | None = None
        self.conversation: Conversation | None = None
        self.providers: Providers | None = None

    def decide(self) -> Decision:
        """Decide by spent budget, response affinity or the router's rules. Raises RequestError as `plan` does."""
        services, body, available = self._services, self._request.body, self._services.available
        unit = self._request.unit
        self.previous = self._adapter.previous(body)
        stored_on = self._stored_on = self._stored()
        if self._request.student_only:
            return _student_only(self._exchange, self._request, available)
        if not available:
            route = self._request.target.pin or Route.TEACHER
            reason = Reason.PINNED if self._request.pinned else Reason.UNAVAILABLE
            raise unavailable(self._exchange, Decision(route, reason, None, unit.policy.threshold, None))
        if stored_on is not None and not self._request.pinned:
            # The other upstream does not have the stored response.
            self.may_fall_back = False
            if services.fallbacks and stored_on is Route.TEACHER:
                self._find_providers()
            hold = Hold(stored_on, STORED)
            stored = Decision(stored_on, Reason.STICKY, None, unit.policy.threshold, None, hold)
            if stored_on not in available or not self._provider_available:
                raise unavailable(self._exchange, stored, self.providers)
            return stored
        # Without fallback the rules must not divert to the other upstream: the request is rejected instead.
        offered = available if self.may_fall_back else None
        wanted = self._request.target
        decision = decision_for(services, self._adapter, body, unit, offered, held=self._earlier_turns, wanted=wanted)
        seen = self.conversation
        if seen is not None and (self._kept_by_teacher(seen) or (seen.made and decision.route is Route.TEACHER)):
            self.may_fall_back = False
        if services.fallbacks:
            decision = self._among_providers(decision, available)
        if decision.route not in available or (decision.route is Route.TEACHER and not self._provider_available):
            raise unavailable(self._exchange, decision, self.providers)
        return decision

    def _among_providers(self, decision: Decision, available: frozenset[Route]) -> Decision:
        """The decision, but for the student where none of the teacher's providers that can take it is available."""
        self._find_providers()
        if decision.route is Route.STUDENT or self._provider_available or Route.STUDENT not in available:
            return decision
        if not self.may_fall_back or self._request.pinned or decision.reason in _STUDENT_INCAPABLE:
            return decision
        return Decision(Route.STUDENT, Reason.UNAVAILABLE, None, decision.threshold, None)

    def _find_providers(self) -> None:
        """Find the teacher's providers that may get the request."""
        services, request, seen = self._services, self._request, self.conversation
        self.providers = providers_for(
            services,
            seen,
            self._turn.hold if self._turn is not None else None,
            stored_at=self._stored_at if self._stored_on is Route.TEACHER else None,
            max_output_tokens=self._adapter.max_output_tokens(request.body),
            elsewhere=self.previous is not None or (seen is not None and (seen.made or seen.stored)),
            several=request.wants_fallback,
        )

    @property
    def _provider_available(self) -> bool:
        return self.providers is None or self.providers.available

    def _stored(self) -> Route | None:
        """The upstream that stores the response which the request continues; None if that is not known, or without one,
        or if a further model does, which only requests with its name continue. That it is not another key's was checked
        before.
        """
        if self.previous is None:
            return None
        made = self._services.state.stored.get(self.previous) if len(self._services.keys) > 1 else None
        known = self._services.state.responses.get(self.previous)
        self._stored_at = self._services.state.responses.provider(self.previous)
        if known is None and made is not None:
            known, self._stored_at = made.route, made.provider
        return None if known is Route.MODEL else known

    def _kept_by_teacher(self, seen: Conversation) -> bool:
        """Whether the request names, or asks for, state that only the teacher has or stores, and not the student."""
        student = self._services.student if seen.stored or seen.background else None
        return student is not None and not student.keeps(seen)

    def _earlier_turns(self, conversation: Conversation, policy: Policy, unit: Unit) -> Hold | None:
        """What earlier turns say about this one; None for a first turn, and where session affinity is off."""
        services, request = self._services, self._request
        self.conversation = conversation
        if not services.config.routing.sticky or request.pinned:
            return None
        self._turn = Turn(services, self._adapter, request.body, self._caller, request.session)
        return self._turn.held(conversation, policy, unit)

    @property
    def maker(self) -> Route | None:
        """The upstream that made the last answer of the conversation; None if that is not known."""
        hold = self._turn.hold if self._turn is not None else None
        return hold.answered if hold is not None else None

    def by_candidate(self, decision: Decision) -> bool:
        """Whether the candidate answers in the student's place."""
        if self._services.candidate is None:
            return False
        hold = self._turn.hold if self._turn is not None else None
        return of_candidate(
            self._services, self._adapter, self._request, self._caller, self.conversation, decision, hold
        )

    def may_be_elsewhere(self, decision: Decision) -> bool:
        """Whether the other upstream may know what this one may refuse: a stored response, an item, a type of tool."""
        request, seen = self._request, self.conversation
        if seen is None or not (self.previous or seen.made or seen.thoughts or seen.tool_types):
            return False
        if not request.may_fall_back or request.pinned or request.student_only or self._stored_on is not None:
            return False
        if self._kept_by_teacher(seen) or decision.reason in _STUDENT_INCAPABLE:
            return False
        unusual = decision.route is Route.STUDENT and not seen.tool_types <= _FUNCTION
        return self.previous is not None or seen.made or seen.thoughts or unusual

    def session(self, decision: Decision) -> Session | None:
        """Where the answer is to be remembered; None where it is not."""
        conversation = self.conversation
        if self._turn is None or conversation is None:
            return None
        session = self._turn.session(conversation, decision)
        if session is None and decision.score is not None:
            # The next turn is to have this one's score from here.
            known = self._services.state.assessments
            known.put(self._request.unit.artifact.hash, conversation.text, Assessment(decision.score, decision.novelty))
        return session


def decision_for(
    services: Services,
    adapter: Adapter,
    body: Body,
    unit: Unit,
    available: frozenset[Route] | None,
    held: Callable[[Conversation, Policy, Unit], Hold | None] | None = None,
    wanted: Target | None = None,
) -> Decision:
    """Decide for a body, without calling an upstream.

    `unit` is what decides the requests of its workload; `available` are the upstreams that accept requests, None for
    both; `held` gives what earlier turns say about this one, if anything; `wanted` is what the model name selects,
    where that is known already. If the router raises, the decision is the teacher with reason `router_error`. Raises
    RequestError for an invalid model name.
    """
    wanted = wanted or target(services, adapter, body)
    policy = unit.policy
    if wanted.model is not None:
        return Decision(Route.MODEL, Reason.PINNED, None, policy.threshold, None)
    if wanted.threshold is not None:
        policy = policy._replace(threshold=wanted.threshold)
    limit, student = adapter.max_output_tokens(body), services.student
    try:
        conversation = adapter.conversation(body)
        before = held(conversation, policy, unit) if held is not None else None
        if student is None:
            reason = Reason.NO_STUDENT if wanted.pin is None else Reason.PINNED
            return Decision(Route.TEACHER, reason, None, policy.threshold, None)
        return decide(
            conversation,
            pin=wanted.pin,
            policy=policy,
            student=student,
            max_output_tokens=limit,
            available=_BOTH if available is None else available,
            assess=unit.artifact.assess,
            held=before,
            band=unit.artifact.noise,
            # The client's own threshold holds whatever the stage is.
            routes=unit.routes or wanted.threshold is not None,
        )
    except Exception as error:  # a bug in the router must not fail the request
        _log.error("the router failed with %s; the teacher answers", type(error).__name__)
        return Decision(Route.TEACHER, Reason.ROUTER_ERROR, None, policy.threshold, None)


def _student_only(exchange: Exchange, request: ClientRequest, available: frozenset[Route]) -> Decision:
    """The decision for a key that may not reach the teacher, or whose budget for it is spent. Raises RequestError 403
    or 429 if only the teacher can answer, and 429 or 503 if the student is not available.
    """
    services, caller = exchange.services, exchange.caller
    decision = decision_for(services, exchange.adapter, request.body, request.unit, available=_STUDENT)
    if decision.route is not Route.STUDENT:
        refused = caller is not None and not caller.teacher
        raise teacher_not_allowed() if refused else services.state.quotas.over_budget()
    if Route.STUDENT not in available:
        raise unavailable(exchange, decision)
    return decision


def _router_timed_out(decision: Decision) -> Decision:
    """The decision after a router timeout: the teacher, as when the router fails."""
    _log.error("the router took longer than %g s; the teacher answers", _ROUTER_DEADLINE_SECONDS)
    return Decision(Route.TEACHER, Reason.ROUTER_ERROR, None, decision.threshold, None)


def _probe(services: Services, adapter: Adapter, request: ClientRequest, decision: Decision) -> Probe | None:
    """The probe of the student's answer, if escalation is configured and applies to this request; else None."""
    rule = request.unit.escalation
    if rule is None or adapter.endpoint not in ESCALATED_ENDPOINTS:
        return None
    applies = decision.route is Route.STUDENT and decision.reason in _ESCALATABLE_REASONS and request.choices == 1
    return Probe(rule, adapter.endpoint, request.body) if applies and Route.TEACHER in services.available else None
