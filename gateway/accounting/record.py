"""The settled record of one request, the only source of its metrics, log line and ledger rows. No prompt text."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from breakeven.gateway.accounting.estimates import NO_ESTIMATE, Estimate
from breakeven.gateway.accounting.prices import Cost
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.errors import Cause
from breakeven.router.policy import Reason, Route

# The workload of requests for which neither the client nor its key named one.
DEFAULT_WORKLOAD = "default"


def upstream_label(route: Route, provider: str) -> str:
    """What metrics call an upstream: its route, after a colon the provider where it is not the first one of its role;
    a further model by its name.
    """
    if route is Route.MODEL:
        return provider
    return f"{route}:{provider}" if provider else route.value


class Endpoint(StrEnum):
    """The endpoints whose requests are sent to an upstream: OpenAI's, Anthropic's messages and count_tokens, and those
    that only further models have. STORED_RESPONSES is /v1/responses/{id} with all that is below it, COMPACT_RESPONSE
    /v1/responses/compact, INPUT_TOKENS /v1/responses/input_tokens.
    """

    CHAT_COMPLETIONS = "chat_completions"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    STORED_RESPONSES = "stored_responses"
    COMPACT_RESPONSE = "compact_response"
    INPUT_TOKENS = "input_tokens"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    # Paths that only further models have; see `endpoints/further.py`.
    RERANK = "rerank"
    SCORE = "score"
    AUDIO = "audio"
    IMAGES = "images"
    OTHER = "other"


class Outcome(StrEnum):
    """How a request, or one attempt of it, ended."""

    OK = "ok"
    UPSTREAM_ERROR = "upstream_error"
    TRUNCATED = "truncated"
    CLIENT_CANCELLED = "client_cancelled"
    GATEWAY_ERROR = "gateway_error"
    REJECTED = "rejected"


class ComparisonResult(StrEnum):
    """What became of a request that was drawn to be compared.

    UNREADABLE: an answer or a verdict could not be read, or the scorer could not read the teacher's answer. FAILED: a
    call or the scorer failed. The others were dropped before anything was asked.
    """

    COMPARED = "compared"
    UNREADABLE = "unreadable"
    FAILED = "failed"
    DROPPED_QUEUE = "dropped_queue"
    DROPPED_BUSY = "dropped_busy"
    DROPPED_BUDGET = "dropped_budget"


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call to one upstream.

    `status` is the upstream's HTTP status, None without a response. Times are seconds since the start of the attempt.
    `cost` is at the prices in force then; it is zero for the student, which is billed by the hour, and for a further
    model without prices.

    `usage_missing`: the upstream began an answer, or was asked and never answered, and reported no complete usage.
    `estimated` are the tokens that it did not report, and `cost_estimated` what these would cost in picodollars; both
    are kept apart from `usage` and `cost`, which are what was reported.

    `cause` says why it failed, None where it did not. `upstream_request_id` is what the upstream calls it, None where
    it does not say.

    `provider` is the config's name of the upstream where the route has several; "" for the first of them. Of a further
    model it is always the name. `version` says which model was asked; see `Upstream.version`.
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
    cause: Cause | None = None
    upstream_request_id: str | None = None
    provider: str = ""
    version: str = ""


# What the ledger, the log and metrics call the candidate among the student's upstreams.
CANDIDATE = "candidate"


class Verdicts(msgspec.Struct, frozen=True):
    """What the judges said of a pair. `judges`: by name the better answer as it was shown, A, B or T (a tie), in the
    order with the student's answer as A, then in the other one, such as "AB"; with an exclamation mark where its
    scores contradict that. The lengths of the two answers are in characters.
    """

    judges: dict[str, str]
    student_length: int
    teacher_length: int


class Pair(msgspec.Struct, frozen=True):
    """The scores of the student's and the teacher's answers to one request, from a comparison. No text.

    `request` is the id of the client's request, `at` its time in microseconds since the Unix epoch; scores are in
    [0, 1], token counts those reported for the two answers. `weight` is the inverse of the sampling rate at that time.
    The values are in picodollars: the student's tokens at the teacher's prices, and what the teacher's own answer cost,
    for the prompt (cached or not) and for the answer. `key` is the name of the client's key, "" without one.
    `workload` is that of the request. `direction` says who had answered the client, as of `road.stages.Direction`; the
    versions are those of the two models. `logprob` is the mean log-probability of the first tokens of the student's
    answer, None where that is not known. `verdicts` are
    those of the judges, None where none was asked.
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
    key: str = ""
    workload: str = DEFAULT_WORKLOAD
    direction: str = "student_answered"
    student_version: str = ""
    teacher_version: str = ""
    logprob: float | None = None
    verdicts: Verdicts | None = None


class RequestRecord(msgspec.Struct, frozen=True):
    """One settled request.

    `id` is unique and made by the gateway; `request_id` is the one in the response headers, which the client may
    have chosen and need not be unique. `at` is microseconds since the Unix epoch. `route` and `reason` are those of
    the upstream that answered (after a fallback the other one, with reason `fallback`); None where the request was
    rejected before a decision. `baseline` is in picodollars, 0 for a pinned request; `baseline_output` is the part
    of it for output tokens that the student wrote, of which the teacher might have written more or fewer. `key` is
    the name of the client's key, `workload` one of the config's. `router_seconds` is the time of the routing
    decision, `overhead_seconds` all time spent in the gateway before the first attempt was sent, `probe_seconds`
    the time that the start of the student's answer was held back for the escalation check, None where there was
    none. `hold` is what made the reason sticky, and `hold_until` when that ends, in seconds since the Unix epoch;
    None otherwise. `trace_id` is 32 hex digits, left out where traces are off. The ledger does not store these three.
    `candidate` is that of `pair` for the candidate's answer, left out without one.
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
    workload: str = DEFAULT_WORKLOAD
    hold: str | None = None
    hold_until: int | None = None
    trace_id: str | msgspec.UnsetType = msgspec.UNSET
    candidate: Pair | msgspec.UnsetType = msgspec.UNSET
