"""Names and descriptions of the headers and routing reasons, for the reference pages and CORS.

HEADERS are response headers, SENT request headers, REASONS the values of x-breakeven-reason.
"""

HEADERS = (
    ("x-breakeven-route", "The upstream that answered: `student`, `teacher`, or `model` for a further model."),
    ("x-breakeven-reason", "Why this upstream answered; see the reasons below."),
    ("x-breakeven-score", "How difficult the prompt looks, from 0 to 1; absent if no rule needed it."),
    (
        "x-breakeven-threshold",
        "The threshold of this decision: `difficult` when score >= threshold; absent for a further model.",
    ),
    ("x-breakeven-novelty", "Distance from the reference set as a quantile in [0, 1]; absent if no rule needed it."),
    (
        "x-breakeven-hold",
        "With reason `sticky`: what put the conversation on this upstream: `difficult`, `novel`, `escalated` or `easy` "
        "(an earlier turn), `tool_call` (it made the call), `stored` (it stores what the request names, or an answer "
        "made in the background).",
    ),
    ("x-breakeven-hold-until", "When that ends if no turn follows, UTC; absent: as long as the request says the same."),
    ("x-breakeven-router", "Hash of the router artifact, 12 hex digits; absent for a further model."),
    ("x-breakeven-attempts", "Number of calls to upstreams so far; each is paid for."),
    ("x-breakeven-request-id", "The request id: the client's `x-request-id` if valid, else a new one."),
    ("x-request-id", "The same id."),
    ("request-id", "The same id, on the endpoints of Anthropic's API."),
    (
        "x-breakeven-token-count",
        "On `/v1/messages/count_tokens` and `/v1/responses/input_tokens`: who counted, `upstream`, its `tokenizer`, "
        "or nobody: `estimated`.",
    ),
    ("x-breakeven-workload", "The workload that the request is counted in."),
    ("x-breakeven-stage", "The stage of that workload: `observe`, `propose`, `route` or `watch`."),
    (
        "x-breakeven-provider",
        "The fallback of the teacher that answered, by its name; `candidate`: that did; absent: none of them.",
    ),
    (
        "x-breakeven-upstream-request-id",
        "What the last upstream calls the request, for its support: its `x-request-id`, `request-id`, "
        "`apim-request-id`, `cf-ray` or the like; absent if it does not say.",
    ),
)
SENT = (
    ("x-request-id", "1 to 128 of `A-Z a-z 0-9 _ . : -`: forwarded and returned; any other value is replaced."),
    (
        "any of pass_headers",
        "Forwarded to that upstream; by default `idempotency-key`, `openai-beta`, `traceparent`, `tracestate`, and to "
        "the student `baggage`, `x-session-id` and `x-data-parallel-rank` as well. All others are not forwarded.",
    ),
    (
        "x-breakeven-fallback",
        "`false`: no fallback for this request, neither to the other upstream nor to another provider of the teacher.",
    ),
    (
        "x-breakeven-workload",
        "A workload of the config, to be counted in; any other name counts as that of the client key or as `default`, "
        "which the answer's header, the log, `breakeven status` and `breakeven_unknown_workload_total` say.",
    ),
    ("x-breakeven-conversation", "Any id: requests with the same id are one conversation, for session affinity."),
    (
        "session_id, session-id, x-session-id, conversation_id, x-claude-code-session-id",
        "The id of the conversation as agents send it; used if the request has none of `x-breakeven-conversation` and "
        "the fields `conversation`, `metadata.session_id`, `session_id`, and the session that Claude Code writes into "
        "`metadata.user_id`; together with `prompt_cache_key` where there is one.",
    ),
    (
        "anthropic-version, anthropic-beta",
        "Forwarded with requests of `/v1/messages` to an upstream that speaks it.",
    ),
)
REASONS = (
    ("pinned", "The model name selects the upstream, or is that of a further model."),
    ("modality", "The request contains input that the student cannot read, such as an image."),
    ("tools", "The request offers or uses tools, which the student does not support."),
    ("context", "Prompt and answer may not fit into the student's context window."),
    ("unavailable", "The other upstream is down or at its concurrency limit."),
    (
        "sticky",
        "Session affinity: this upstream has the conversation or what the request names; see `x-breakeven-hold`.",
    ),
    ("novel", "The prompt is unlike those that the student was distilled on: novelty >= novelty threshold."),
    ("difficult", "The score is at or above the threshold."),
    ("easy", "The score is below the threshold."),
    ("observe", "The workload is not routed yet: the teacher answers, and the student is measured beside it."),
    ("fallback", "The first upstream failed before the first byte; the other one answered."),
    ("escalated", "The start of the student's answer failed the log-probability check; the teacher answered."),
    ("router_error", "The router failed or took too long; the teacher answered."),
    ("no_student", "The config has no student: the teacher answers everything."),
    ("shadow", "Not a client request: the calls of a comparison. Appears only in the ledger."),
)
