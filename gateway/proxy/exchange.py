"""The state of one request: admission's immutable results, and its attempts and outcome, which change."""

from __future__ import annotations

import time

import msgspec

from breakeven.gateway.accounting.estimates import NO_ESTIMATE
from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD, AttemptRecord, Outcome, RequestRecord
from breakeven.gateway.accounting.usage import NO_USAGE, Usage
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.economics.breakeven import baseline, student_value
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.errors import Cause, UpstreamFailure
from breakeven.gateway.policy.model_names import Target
from breakeven.gateway.proxy.escalation import Probe
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.health import Failure
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.chat_text import AnswerCapture
from breakeven.gateway.wire.ids import fresh_id
from breakeven.router.policy import Decision, Reason, Route
from breakeven.router.text import Conversation


class Attempt:
    """One call to one upstream while it runs. Times are seconds from its start.

    `events` counts the events with content that the upstream sent, whether or not they reached the client. `unbilled`
    is set where the upstream was not reached or refused: it charges nothing then. `cause` and `detail` say why it
    failed; `upstream_request_id` is what the upstream calls it.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        self.outcome = Outcome.GATEWAY_ERROR
        self.status: int | None = None
        self.usage: Usage = NO_USAGE
        self.events = 0
        self.unbilled = False
        self.cause: Cause | None = None
        self.detail = ""
        self.upstream_request_id: str | None = None
        self.first_event_seconds: float | None = None
        self._started = time.perf_counter()
        self._seconds: float | None = None

    def first_event(self) -> None:
        """Record the time of the first event or body byte; later calls change nothing."""
        if self.first_event_seconds is None:
            self.first_event_seconds = time.perf_counter() - self._started

    def fail(self, failure: UpstreamFailure) -> None:
        """Record why it failed."""
        self.detail = failure.detail
        self.cause = failure.cause
        if self.cause is Cause.IDLE_TIMEOUT and self.first_event_seconds is None:
            self.cause = Cause.FIRST_EVENT_TIMEOUT

    def failure(self) -> Failure:
        """Why it failed, for the health of its upstream."""
        cause = self.cause or Cause.INCOMPLETE
        return Failure(cause, time.time_ns() // 1000, self.status, self.upstream_request_id, self.detail)

    def end(self) -> None:
        """Record the time at which the upstream's response ended or was abandoned."""
        self._seconds = time.perf_counter() - self._started

    def record(self, services: Services, counted: int, *, learn: bool = True) -> AttemptRecord:
        """The settled record of this attempt, its cost computed at the prices in force now.

        `counted`: the gateway's own count of the prompt's tokens. `learn`: whether a complete usage teaches the token
        ratios; not that of a judge, whose prompt is another than the one that was counted.
        """
        ratios = services.state.token_ratios[self.route]
        estimated, cost_estimated = NO_ESTIMATE, 0
        missing = not (self.usage.complete or self.unbilled)
        if missing:
            estimated = ratios.estimate(self.usage, counted=counted, events=self.events)
            tokens = Usage(estimated.prompt, 0, estimated.output, complete=False)
            cost_estimated = services.cost(self.route, tokens).total
        elif learn and self.usage.complete:
            ratios.observe(self.usage, counted=counted, events=self.events)
        return AttemptRecord(
            upstream=self.route,
            outcome=self.outcome,
            status=self.status,
            usage=self.usage,
            cost=services.cost(self.route, self.usage),
            first_event_seconds=self.first_event_seconds,
            seconds=self._seconds or 0.0,
            usage_missing=missing,
            estimated=estimated,
            cost_estimated=cost_estimated,
            cause=self.cause,
            upstream_request_id=self.upstream_request_id,
        )


class ClientRequest(msgspec.Struct, frozen=True):
    """What the client requested, read from a checked body.

    `target` is what the model name selects; `may_fall_back` whether config and client allow the other upstream;
    `conversation_id` the client's own id of the conversation; `workload` the one that it belongs to; `student_only`
    is set if the key's budget for the teacher is spent. `stream` and `wants_usage` are the client's options,
    `choices` the number of answers (`n`).
    """

    body: Body
    target: Target
    stream: bool
    wants_usage: bool
    choices: int
    may_fall_back: bool
    student_only: bool
    conversation_id: str | None
    workload: str

    @property
    def pinned(self) -> bool:
        """Whether the model name or the endpoint determines the upstream."""
        return self.target.pin is not None


class Plan(msgspec.Struct, frozen=True):
    """Which upstream the request goes to, and what is done with the answer.

    `may_fall_back` is whether the other upstream may be tried, given the decision. `session` is the conversation's key
    for session affinity and `previous` the id of the stored response that the request continues; None where there is
    none. `conversation` is what the router read, None if no decision was needed. `router_seconds` is the wall-clock
    time of the decision. `probe` judges the student's answer for escalation; `capture` copies it for a comparison.
    """

    decision: Decision
    may_fall_back: bool
    previous: str | None
    session: bytes | None
    conversation: Conversation | None
    router_seconds: float
    probe: Probe | None
    capture: AnswerCapture | None


class Exchange:
    """One request from its first byte to its settled record.

    `caller`, `request` and `plan` are assigned once each, by the handler, during admission; a rejected request has
    only the first ones. After that only attempts, `escalated`, `outcome` and `status` change.
    """

    def __init__(self, services: Services, adapter: Adapter, request_id: str) -> None:
        self.services = services
        self.adapter = adapter
        self.id = fresh_id()
        self.request_id = request_id
        self.caller: ClientKey | None = None
        self.request: ClientRequest | None = None
        self.plan: Plan | None = None
        self.escalated = False
        self.attempts: list[Attempt] = []
        self.outcome = Outcome.GATEWAY_ERROR
        self.status = 500
        self._overhead_seconds: float | None = None
        self._at = time.time_ns() // 1000
        self._started = time.perf_counter()

    @property
    def admitted(self) -> tuple[ClientRequest, Plan]:
        """The results of admission: request and plan. Only for code that runs after it."""
        assert self.request is not None
        assert self.plan is not None
        return self.request, self.plan

    @property
    def route(self) -> Route | None:
        """The upstream that was tried last; before any attempt the one decided for, None before the decision."""
        if self.attempts:
            return self.attempts[-1].route
        return self.plan.decision.route if self.plan else None

    @property
    def reason(self) -> Reason | None:
        """Why the request went to `route`: `escalated` or `fallback` after those, else the decision's reason."""
        if self.escalated and self.route is Route.TEACHER:
            return Reason.ESCALATED
        if self.plan is None:
            return None
        # A second attempt at the same upstream is a retry on a new connection, not a fallback.
        if self.escalated or (self.attempts and self.route is not self.plan.decision.route):
            return Reason.FALLBACK
        return self.plan.decision.reason

    def probe(self, route: Route) -> Probe | None:
        """The probe for an attempt at `route`, if any. After an escalation the student's answer is not judged again."""
        return self.plan.probe if self.plan and route is Route.STUDENT and not self.escalated else None

    def begin_attempt(self, route: Route) -> Attempt:
        """Start and return an attempt; the time until the first one is the gateway's overhead."""
        if self._overhead_seconds is None:
            self._overhead_seconds = time.perf_counter() - self._started
        attempt = Attempt(route)
        self.attempts.append(attempt)
        return attempt

    def remember_response(self, response_id: str | None) -> None:
        """Record that the upstream of the running attempt stores its response under this id; None is ignored."""
        if response_id is not None:
            self.services.state.responses.put(response_id, self.attempts[-1].route)

    def _counted(self) -> int:
        """Our own count of the prompt's tokens: the router's, else a quarter of the body's bytes."""
        asked, plan = self.admitted
        return plan.conversation.tokens if plan.conversation is not None else len(asked.body) // 4

    def headers(self) -> dict[str, str]:
        """x-request-id and those x-breakeven-* response headers whose values are known now."""
        headers = {"x-request-id": self.request_id, "x-breakeven-request-id": self.request_id}
        if self.request is not None:
            headers["x-breakeven-workload"] = self.request.workload
        if self.plan is not None:
            decision = self.plan.decision
            headers["x-breakeven-route"] = str(self.route)
            headers["x-breakeven-reason"] = str(self.reason)
            headers["x-breakeven-threshold"] = f"{decision.threshold:g}"
            if decision.score is not None:
                headers["x-breakeven-score"] = f"{decision.score:.6f}"
            if decision.novelty is not None:
                headers["x-breakeven-novelty"] = f"{decision.novelty:.6f}"
            headers["x-breakeven-router"] = self.services.artifact.hash
            headers["x-breakeven-attempts"] = str(len(self.attempts))
            if self.attempts and self.attempts[-1].upstream_request_id is not None:
                headers["x-breakeven-upstream-request-id"] = self.attempts[-1].upstream_request_id
        return headers

    def record(self) -> RequestRecord:
        """The settled record of the request, with costs at the prices in force now."""
        attempts = tuple(attempt.record(self.services, self._counted()) for attempt in self.attempts)
        request, plan = self.request, self.plan
        decision = plan.decision if plan else None
        pinned = request is not None and request.pinned
        price = self.services.price
        of_student = student_value(attempts, price, pinned=pinned)
        not_judged = self.escalated and self.route is Route.STUDENT
        probe = plan.probe if plan and not not_judged else None
        return RequestRecord(
            id=self.id,
            request_id=self.request_id,
            at=self._at,
            endpoint=self.adapter.endpoint,
            key=self.caller.name if self.caller else None,
            stream=request is not None and request.stream,
            route=self.route,
            reason=self.reason,
            pinned=pinned,
            score=decision.score if decision else None,
            threshold=decision.threshold if decision else None,
            novelty=decision.novelty if decision else None,
            artifact=self.services.artifact.hash,
            outcome=self.outcome,
            status=self.status,
            attempts=attempts,
            baseline=of_student.input + of_student.output or baseline(attempts, price, pinned=pinned),
            router_seconds=plan.router_seconds if plan else None,
            overhead_seconds=self._overhead_seconds,
            seconds=time.perf_counter() - self._started,
            probe_seconds=probe.seconds if probe else None,
            baseline_input=of_student.input,
            workload=request.workload if request else DEFAULT_WORKLOAD,
            baseline_output=of_student.output,
        )
