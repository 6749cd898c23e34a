"""The state of one request: admission's immutable results, and its attempts and outcome, which change."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD, Outcome, RequestRecord
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.economics.breakeven import baseline_of
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.policy.model_names import Target
from breakeven.gateway.policy.unit import Unit
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.proxy.escalation import Probe
from breakeven.gateway.proxy.providers import Providers
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.runtime.stored_responses import Made
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.ids import fresh_id
from breakeven.gateway.wire.moments import moment
from breakeven.gateway.wire.trace_context import Trace
from breakeven.router.policy import Decision, Reason, Route
from breakeven.router.sticky import Session
from breakeven.router.text import Conversation

# Characters of the longest id of a response; those of providers have at most some hundred.
_MAX_ID = 512


class ClientRequest(msgspec.Struct, frozen=True):
    """What the client requested, read from a checked body.

    `target` is what the model name selects; `may_fall_back` whether config and client allow the other upstream, and
    `wants_fallback` whether the client does;
    `session` is the id that the client gives the conversation, with the name of the header or field that holds it;
    `workload` the workload that it is counted in, and `unit` what decides its requests; `student_only` is set if the
    key may not reach the teacher, or its budget for it is spent. `stream` and `wants_usage` are the client's options,
    `choices` the number of answers (`n`). `versions` are the client's headers that name the version of its API.
    """

    body: Body
    target: Target
    stream: bool
    wants_usage: bool
    choices: int
    may_fall_back: bool
    wants_fallback: bool
    student_only: bool
    session: tuple[str, str] | None
    workload: str
    unit: Unit
    versions: Mapping[str, str] = {}

    @property
    def pinned(self) -> bool:
        """Whether the model name or the endpoint determines the upstream."""
        return self.target.pin is not None


class Plan(msgspec.Struct, frozen=True):
    """Which upstream the request goes to, and what is done with the answer.

    `may_fall_back` is whether the other upstream may be tried, given the decision; `may_be_elsewhere` whether that may
    know what this one refuses. `maker` is the upstream that made the conversation's last answer, None if that is not
    known. `session` is the conversation for session affinity, None where nothing is to be remembered. `conversation` is
    what the router read, None if no decision was needed. `router_seconds` is the wall-clock time of the decision.
    `probe` judges the student's answer for escalation. `providers` are those of the teacher that the request may be
    sent to, None where the teacher has only one. `by_candidate`: the candidate answers in the student's place. The
    defaults are those of a request that no rule decides for.
    """

    decision: Decision
    may_fall_back: bool = False
    may_be_elsewhere: bool = False
    maker: Route | None = None
    session: Session | None = None
    conversation: Conversation | None = None
    router_seconds: float = 0.0
    probe: Probe | None = None
    providers: Providers | None = None
    by_candidate: bool = False


class Exchange:
    """One request from its first byte to its settled record.

    `caller`, `request` and `plan` are assigned once each, by the handler, during admission; a rejected request has
    only the first ones. With the plan of a request to a further model `services` become that one's. After that only
    attempts, `escalated`, `portable`, `outcome`, `status` and the next two change. `response_id` is the id
    under which the upstream stores the answer of the last attempt, None if it does not; `deferred`: its tokens are
    known only once it has ended, in the background. `trace` is its place in a trace, None where traces are off;
    `started` the time of its start on the clock of time.perf_counter. `portable` are the labels of the upstreams that
    refused the request as it was, and get it as `Adapter.make_portable` leaves it; `reserved` is what is held of the
    key's budget, in picodollars, by the label of the upstream.
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
        self.deferred = False
        self.response_id: str | None = None
        self.trace: Trace | None = None
        self.portable: set[str] = set()
        self.reserved: dict[str, int] = {}
        self.attempts: list[Attempt] = []
        self.outcome = Outcome.GATEWAY_ERROR
        self.status = 500
        self._overhead_seconds: float | None = None
        self._seconds: float | None = None
        self._at = time.time_ns() // 1000
        self.started = time.perf_counter()

    @property
    def admitted(self) -> tuple[ClientRequest, Plan]:
        """The results of admission: request and plan. Only for code that runs after it."""
        assert self.request is not None
        assert self.plan is not None
        return self.request, self.plan

    @property
    def admitted_request(self) -> ClientRequest:
        """The request alone, for code that runs before the plan is made."""
        assert self.request is not None
        return self.request

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

    @property
    def _artifact(self) -> str:
        """The hash of the router artifact that decides it."""
        return (self.services if self.request is None else self.request.unit).artifact.hash

    @property
    def answered(self) -> bool:
        """Whether an upstream has answered; false where the gateway has counted tokens."""
        return self.outcome is Outcome.OK and bool(self.attempts)

    def probe(self, route: Route) -> Probe | None:
        """The probe for an attempt at `route`, if any. After an escalation the student's answer is not judged again."""
        return self.plan.probe if self.plan and route is Route.STUDENT and not self.escalated else None

    def begin_attempt(self, upstream: Upstream) -> Attempt:
        """Start and return an attempt; the time until the first one is the gateway's overhead."""
        if self._overhead_seconds is None:
            self._overhead_seconds = time.perf_counter() - self.started
        attempt = Attempt(upstream)
        self.response_id = None
        self.attempts.append(attempt)
        return attempt

    def end(self) -> None:
        """Record the time at which the request ended, before its last bytes are sent; later calls change nothing."""
        if self._seconds is None:
            self._seconds = time.perf_counter() - self.started

    def remember_response(self, response_id: str | None) -> None:
        """Record that the upstream of the running attempt stores its response under this id. None is ignored, and so
        is an id that is too long to be one.
        """
        last = self.attempts[-1]
        if response_id is None or response_id == self.response_id or len(response_id) > _MAX_ID:
            return
        self.response_id = response_id
        state, maker = self.services.state, self.caller.name if self.caller is not None else ""
        state.responses.put(response_id, last.route, last.provider)
        if (maker and len(self.services.keys) > 1) or last.route is Route.MODEL:
            # Now, since another key may use it before this request has ended. What no key made is looked for at the
            # student and the teacher, but not at further models.
            state.owners.note([response_id], Made(last.route, last.provider, maker))

    def counted(self) -> int:
        """Our own count of the prompt's tokens: the router's, else a quarter of the body's bytes; none of a form."""
        asked, plan = self.admitted
        if asked.body.content_type != Body.content_type:
            return 0
        return plan.conversation.tokens if plan.conversation is not None else len(asked.body) // 4

    def headers(self) -> dict[str, str]:
        """x-request-id and those x-breakeven-* response headers whose values are known now."""
        headers = {"x-request-id": self.request_id, "x-breakeven-request-id": self.request_id}
        for name in self.adapter.id_headers:
            headers[name] = self.request_id
        if self.request is not None:
            headers["x-breakeven-workload"] = self.request.workload
            headers["x-breakeven-stage"] = self.request.unit.stage
        if self.plan is not None:
            decision, reason = self.plan.decision, self.reason
            headers["x-breakeven-route"] = str(self.route)
            headers["x-breakeven-reason"] = str(reason)
            if decision.route is not Route.MODEL:
                headers["x-breakeven-threshold"] = f"{decision.threshold:g}"
                headers["x-breakeven-router"] = self._artifact
            if decision.score is not None:
                headers["x-breakeven-score"] = f"{decision.score:.6f}"
            if decision.novelty is not None:
                headers["x-breakeven-novelty"] = f"{decision.novelty:.6f}"
            if decision.hold is not None and reason is Reason.STICKY:
                headers["x-breakeven-hold"] = decision.hold.why
                if decision.hold.until is not None:
                    headers["x-breakeven-hold-until"] = moment(decision.hold.until)
            headers["x-breakeven-attempts"] = str(len(self.attempts))
            if self.attempts:
                last = self.attempts[-1]
                if last.upstream_request_id is not None:
                    headers["x-breakeven-upstream-request-id"] = last.upstream_request_id
                if last.provider:
                    headers["x-breakeven-provider"] = last.provider
        return headers

    def record(self) -> RequestRecord:
        """The settled record of the request, with costs at the prices in force now."""
        self.end()
        attempts = tuple(attempt.record(self.services, self.counted()) for attempt in self.attempts)
        request, plan = self.request, self.plan
        decision, reason = plan.decision if plan else None, self.reason
        hold = decision.hold if decision and reason is Reason.STICKY else None
        pinned = request is not None and request.pinned
        bill = baseline_of(attempts, self.services.price, pinned=pinned)
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
            reason=reason,
            pinned=pinned,
            score=decision.score if decision else None,
            threshold=decision.threshold if decision and decision.route is not Route.MODEL else None,
            novelty=decision.novelty if decision else None,
            artifact=self._artifact,
            outcome=self.outcome,
            status=self.status,
            attempts=attempts,
            baseline=bill.total,
            router_seconds=plan.router_seconds if plan else None,
            overhead_seconds=self._overhead_seconds,
            seconds=self._seconds or 0.0,
            probe_seconds=probe.seconds if probe else None,
            baseline_input=bill.input,
            workload=request.workload if request else DEFAULT_WORKLOAD,
            trace_id=self.trace.hex if self.trace is not None else msgspec.UNSET,
            baseline_output=bill.output,
            hold=hold.why if hold else None,
            hold_until=int(hold.until) if hold and hold.until is not None else None,
        )
