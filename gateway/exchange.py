"""The state of one request while it runs, and the record that it ends in."""

from __future__ import annotations

import time

from gateway.body import Body
from gateway.config import ClientKey
from gateway.economics.breakeven import baseline, baseline_output
from gateway.endpoints.base import Adapter
from gateway.escalation import Probe
from gateway.ids import fresh_id
from gateway.record import AttemptRecord, Outcome, RequestRecord
from gateway.services import Services
from gateway.shadow.answers import Tap
from gateway.usage import NO_USAGE, Usage
from router.policy import Decision, Reason, Route
from router.text import Conversation


class Attempt:
    """One call to one upstream while it runs."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.outcome = Outcome.GATEWAY_ERROR
        self.status: int | None = None
        self.usage: Usage = NO_USAGE
        self.first_event_seconds: float | None = None
        self._started = time.perf_counter()
        self._seconds: float | None = None

    def first_event(self) -> None:
        """The first event or body byte is here."""
        if self.first_event_seconds is None:
            self.first_event_seconds = time.perf_counter() - self._started

    def end(self) -> None:
        """Nothing more comes."""
        self._seconds = time.perf_counter() - self._started

    def record(self, services: Services) -> AttemptRecord:
        """The attempt as settled, at the prices of now."""
        return AttemptRecord(
            upstream=self.route,
            outcome=self.outcome,
            status=self.status,
            usage=self.usage,
            cost=services.cost(self.route, self.usage),
            first_event_seconds=self.first_event_seconds,
            seconds=self._seconds or 0.0,
        )


class Exchange:
    """One request: what was asked, what was decided, what was tried."""

    def __init__(self, services: Services, adapter: Adapter, request_id: str) -> None:
        self.services = services
        self.adapter = adapter
        self.id = fresh_id()
        self.request_id = request_id
        self.key: str | None = None
        self.client_key: ClientKey | None = None
        self.student_only = False
        self.body: Body | None = None
        self.stream = False
        self.wants_usage = False
        self.choices = 1
        self.pinned = False
        self.decision: Decision | None = None
        self.may_fall_back = False
        # Which conversation this is a turn of, None where it is none.
        self.conversation: bytes | None = None
        self.previous: str | None = None
        # What the router read, None where nothing was to be decided.
        self.conversation_seen: Conversation | None = None
        # Copies the student's answer where it is to be compared with the teacher's.
        self.tap: Tap | None = None
        # Watches the student's answer; None where nothing is to be judged.
        self.probe: Probe | None = None
        self.escalated = False
        self.attempts: list[Attempt] = []
        self.outcome = Outcome.GATEWAY_ERROR
        self.status = 500
        self.router_seconds: float | None = None
        self.overhead_seconds: float | None = None
        self._at = time.time_ns() // 1000
        self._started = time.perf_counter()

    @property
    def route(self) -> Route | None:
        """The upstream that answered, or was last tried."""
        if self.attempts:
            return self.attempts[-1].route
        return self.decision.route if self.decision else None

    @property
    def reason(self) -> Reason | None:
        """Why that one."""
        if self.escalated and self.route is Route.TEACHER:
            return Reason.ESCALATED
        if self.decision is None:
            return None
        # More attempts at the same upstream are no fallback: an idle connection was closed.
        if self.escalated or (self.attempts and self.route is not self.decision.route):
            return Reason.FALLBACK
        return self.decision.reason

    def begin(self, route: Route) -> Attempt:
        """A new attempt; the first one ends the gateway's own share of the time."""
        if self.overhead_seconds is None:
            self.overhead_seconds = time.perf_counter() - self._started
        attempt = Attempt(route)
        self.attempts.append(attempt)
        return attempt

    def keeps(self, response_id: str | None) -> None:
        """The upstream of this attempt keeps its answer under this id."""
        if response_id is not None:
            self.services.state.responses.put(response_id, self.attempts[-1].route)

    def headers(self) -> dict[str, str]:
        """The x-breakeven-* headers, as far as they are known now."""
        headers = {"x-request-id": self.request_id, "x-breakeven-request-id": self.request_id}
        decision = self.decision
        if decision is not None:
            headers["x-breakeven-route"] = str(self.route)
            headers["x-breakeven-reason"] = str(self.reason)
            headers["x-breakeven-threshold"] = f"{decision.threshold:g}"
            if decision.score is not None:
                headers["x-breakeven-score"] = f"{decision.score:.6f}"
            if decision.novelty is not None:
                headers["x-breakeven-novelty"] = f"{decision.novelty:.6f}"
            headers["x-breakeven-router"] = self.services.artifact.hash
            headers["x-breakeven-attempts"] = str(len(self.attempts))
        return headers

    def record(self) -> RequestRecord:
        """The settled record."""
        attempts = tuple(attempt.record(self.services) for attempt in self.attempts)
        decision = self.decision
        price = self.services.price
        return RequestRecord(
            id=self.id,
            request_id=self.request_id,
            at=self._at,
            endpoint=self.adapter.endpoint,
            key=self.key,
            stream=self.stream,
            route=self.route,
            reason=self.reason,
            pinned=self.pinned,
            score=decision.score if decision else None,
            threshold=decision.threshold if decision else None,
            novelty=decision.novelty if decision else None,
            artifact=self.services.artifact.hash,
            outcome=self.outcome,
            status=self.status,
            attempts=attempts,
            baseline=baseline(attempts, price, pinned=self.pinned),
            router_seconds=self.router_seconds,
            overhead_seconds=self.overhead_seconds,
            seconds=time.perf_counter() - self._started,
            probe_seconds=self.probe.seconds if self.probe is not None else None,
            baseline_output=baseline_output(attempts, price, pinned=self.pinned),
        )
