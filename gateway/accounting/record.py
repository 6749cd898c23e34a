"""The settled record of one request: metrics, log line and ledger all come from it. No prompt text."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from breakeven.gateway.accounting.estimates import NO_ESTIMATE, Estimate
from breakeven.gateway.accounting.prices import Cost
from breakeven.gateway.accounting.usage import Usage
from breakeven.router.policy import Reason, Route


class Endpoint(StrEnum):
    """The OpenAI endpoints that take a request upstream."""

    CHAT_COMPLETIONS = "chat_completions"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"


class Outcome(StrEnum):
    """How a request, or one attempt of it, ended."""

    OK = "ok"
    UPSTREAM_ERROR = "upstream_error"
    TRUNCATED = "truncated"
    CLIENT_CANCELLED = "client_cancelled"
    GATEWAY_ERROR = "gateway_error"
    REJECTED = "rejected"


class ShadowResult(StrEnum):
    """What became of a request that was drawn for shadow traffic."""

    COMPARED = "compared"
    UNREADABLE = "unreadable"
    FAILED = "failed"
    DROPPED_QUEUE = "dropped_queue"
    DROPPED_BUSY = "dropped_busy"
    DROPPED_BUDGET = "dropped_budget"


class AttemptRecord(msgspec.Struct, frozen=True):
    """One call to one upstream, paid for.

    `status` is the upstream's HTTP status, None where no answer came. Times are seconds; they start
    when the attempt does. `cost` is at the prices of that time; the student's is zero, since the student
    is paid for by the hour.

    `usage_missing`: the upstream began an answer, or was asked and never answered, and reported no complete usage.
    `estimated` are the tokens that it did not report, and `cost_estimated` what these would cost in picodollars; both
    are kept apart from `usage` and `cost`, which are what was reported.
    """

    upstream: Route
    outcome: Outcome
    status: int | None
    usage: Usage
    cost: Cost
    first_event_seconds: float | None
    seconds: float
    usage_missing: bool = False
    estimated: Estimate = NO_ESTIMATE
    cost_estimated: int = 0


class Pair(msgspec.Struct, frozen=True):
    """Student and teacher compared on one request, by shadow traffic. No text.

    `request` is the id of the client's request, `at` its time; scores are in [0, 1], tokens those of the two
    answers as reported. `weight` is one over the share of requests that were drawn when this one was.
    The values are picodollars: the student's tokens at the teacher's prices, and what the teacher's own answer cost,
    prompt (cached, written to a cache or neither) and answer each.
    """

    request: str
    at: int
    score: float | None
    novelty: float | None
    artifact: str
    student_score: float
    teacher_score: float
    student_tokens: int
    teacher_tokens: int
    weight: float
    student_input_value: int = 0
    student_output_value: int = 0
    teacher_input_cost: int = 0
    teacher_output_cost: int = 0


class RequestRecord(msgspec.Struct, frozen=True):
    """One request, as settled.

    `id` is the gateway's own and unique; `request_id` is what the client sees and may have chosen, and
    need not be unique. `at` is microseconds since the Unix epoch. `route` and `reason` are those of the
    answer: after a fallback the other upstream's, with reason `fallback`; None where the request was
    rejected before a decision. `baseline` is in picodollars, 0 for a pinned request; `baseline_output` is the part
    of it that stands for the output tokens of a student's answer, which a teacher may have written otherwise.
    `key` is the name of the client's key. `router_seconds` is the time the decision took, `overhead_seconds` all
    that the gateway itself took before the first attempt was sent; `probe_seconds` how long the student's answer was
    held back to be judged, None where it was not.
    """

    id: str
    request_id: str
    at: int
    endpoint: Endpoint
    key: str | None
    stream: bool
    route: Route | None
    reason: Reason | None
    pinned: bool
    score: float | None
    threshold: float | None
    novelty: float | None
    artifact: str | None
    outcome: Outcome
    status: int
    attempts: tuple[AttemptRecord, ...]
    baseline: int
    router_seconds: float | None
    overhead_seconds: float | None
    seconds: float
    probe_seconds: float | None = None
    baseline_output: int = 0
    pair: Pair | None = None
    baseline_input: int = 0
