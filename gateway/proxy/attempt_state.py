"""The state of one attempt while it runs, and its settled record."""

from __future__ import annotations

import re
import time

from breakeven.gateway.accounting.estimates import NO_COUNTS, NO_ESTIMATE, Estimate, TokenRatios
from breakeven.gateway.accounting.prices import Cost, with_fee
from breakeven.gateway.accounting.record import AttemptRecord, Outcome
from breakeven.gateway.accounting.usage import NO_USAGE, Usage
from breakeven.gateway.errors import Cause, UpstreamFailure
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.health import Failure
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire.delivered_text import delivered_text

# Of a longer answer the first bytes are kept, and what is found in them is scaled by its events.
MAX_KEPT_BYTES = 1 << 19
# Inside a JSON string its quotes would be escaped.
_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')


class Attempt:
    """One call to one upstream while it runs. Times are seconds from its start.

    `events` counts the events with content that the upstream sent, whether or not they reached the client; `segments`
    are the bytes of the answer as they came, up to MAX_KEPT_BYTES, and `kept_events` the events in them, None for all.
    `unbilled` is set where the upstream was not reached or refused: it charges nothing then. `escalated`: the answer
    was discarded for the teacher's. `counts` are the tokens that the upstream's tokenizer counted after the end.
    `cause` and `detail` say why it failed; `upstream_request_id` is what the upstream calls it.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.route = upstream.route
        self.provider = upstream.provider
        self.outcome = Outcome.GATEWAY_ERROR
        self.status: int | None = None
        self.usage: Usage = NO_USAGE
        self.events = 0
        self.segments: list[bytes] = []
        self.kept_events: int | None = None
        self.unbilled = False
        self.escalated = False
        self.counts = NO_COUNTS
        self.cause: Cause | None = None
        self.detail = ""
        self.upstream_request_id: str | None = None
        self.first_event_seconds: float | None = None
        # On the clock of time.perf_counter.
        self.started = time.perf_counter()
        self._seconds: float | None = None

    def first_event(self) -> None:
        """Record the time of the first event or body byte; later calls change nothing."""
        if self.first_event_seconds is None:
            self.first_event_seconds = time.perf_counter() - self.started

    def fail(self, failure: UpstreamFailure) -> None:
        """Record why it failed; its server may be another one by now."""
        self.upstream.learning.doubt(failure)
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
        self._seconds = time.perf_counter() - self.started

    @property
    def missing(self) -> bool:
        """Whether the upstream may charge for tokens that it did not report."""
        return not (self.usage.complete or self.unbilled)

    def text(self) -> str:
        """The text that was delivered, as far as its bytes were kept."""
        return delivered_text(b"".join(self.segments))

    def next_number(self) -> int:
        """The `sequence_number` of an event after those that the upstream sent; 0 where they have none."""
        numbers = _NUMBER.findall(b"".join(self.segments))
        later = 0 if self.kept_events is None else self.events - self.kept_events
        return max(map(int, numbers)) + 1 + later if numbers else 0

    def scaled(self, amount: int) -> int:
        """An amount that was found in the kept bytes, for the whole answer."""
        return round(amount * self.events / self.kept_events) if self.kept_events else amount

    def record(self, services: Services, counted: int, *, learn: bool = True) -> AttemptRecord:
        """The settled record of this attempt, its cost computed at the prices in force now.

        `counted`: the gateway's own count of the prompt's tokens. `learn`: whether a complete usage teaches the token
        ratios; not that of a judge, whose prompt is another than the one that was counted.
        """
        ratios = services.state.token_ratios[self.upstream.label]
        estimated, cost_estimated = NO_ESTIMATE, 0
        missing = self.missing and services.counts_tokens
        if missing:
            estimated = self._estimate(ratios, counted)
            tokens = Usage(estimated.prompt, 0, estimated.output, complete=False)
            cost_estimated = services.cost(self.route, tokens, self.provider).total
        elif learn and self.usage.complete:
            characters = self.scaled(len(self.text())) if self.segments and ratios.samples_text else 0
            ratios.observe(self.usage, counted=counted, events=self.events, characters=characters)
        return AttemptRecord(
            upstream=self.route,
            outcome=self.outcome,
            status=self.status,
            usage=self.usage,
            cost=self._cost(services),
            first_event_seconds=self.first_event_seconds,
            seconds=self._seconds or 0.0,
            usage_missing=missing,
            estimated=estimated,
            cost_estimated=cost_estimated,
            cause=self.cause,
            upstream_request_id=self.upstream_request_id,
            provider=self.provider,
            version=self.upstream.version,
        )

    def _cost(self, services: Services) -> Cost:
        cost = services.cost(self.route, self.usage, self.provider)
        answered = services.model is not None and not self.unbilled and self.status is not None
        return with_fee(cost, self.usage, services.price) if answered else cost

    def _estimate(self, ratios: TokenRatios, counted: int) -> Estimate:
        by_characters = ratios.by_characters or not self.events
        characters = self.scaled(len(self.text())) if by_characters and self.counts.output is None else None
        found = ratios.estimate(self.usage, counted=counted, events=self.events, characters=characters)
        prompt, output = self.counts.prompt, self.counts.output
        return Estimate(
            found.prompt if prompt is None else prompt,
            found.output if output is None else self.scaled(output),
            # What is scaled was not all counted.
            output is not None and self.kept_events is None,
        )
