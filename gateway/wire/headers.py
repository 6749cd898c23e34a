"""The x-breakeven-* headers and the routing reasons, each with what it means: (name, meaning) pairs."""

HEADERS = (
    ("x-breakeven-route", "The upstream that answered: `student` or `teacher`."),
    ("x-breakeven-reason", "Why: see the reasons below."),
    ("x-breakeven-score", "Estimated probability that the student's answer is worse; absent where no rule needed it."),
    ("x-breakeven-threshold", "The threshold of this decision: `difficult` when score >= threshold."),
    ("x-breakeven-novelty", "Distance from the reference set as a quantile in [0, 1]; absent where not needed."),
    ("x-breakeven-router", "Hash of the router's artifact, 12 hex digits."),
    ("x-breakeven-attempts", "Calls to upstreams so far; each is paid for."),
    ("x-breakeven-request-id", "The request's id: the caller's `x-request-id` if valid, else a new one."),
    ("x-request-id", "The same."),
)
SENT = (
    ("x-request-id", "1 to 128 of `A-Z a-z 0-9 _ . : -`: kept, sent upstream and echoed; anything else is replaced."),
    ("x-breakeven-fallback", "`false`: this request is not tried at the other upstream."),
    ("x-breakeven-conversation", "Any id: requests with the same one are turns of one conversation and stay together."),
)
REASONS = (
    ("pinned", "The model's name says which upstream."),
    ("modality", "The request holds what the student cannot read, such as an image."),
    ("tools", "The request offers or uses tools, and the student cannot."),
    ("context", "Prompt and answer may not fit the student's context window."),
    ("unavailable", "The other upstream is down or at its limit."),
    ("sticky", "The conversation stays where it was."),
    ("novel", "The prompt is far from what the student was distilled on."),
    ("difficult", "The score is at or above the threshold."),
    ("easy", "The score is below the threshold."),
    ("fallback", "The first upstream failed before the first byte; the other one answered."),
    ("escalated", "The start of the student's answer was not good enough; the teacher answered."),
    ("router_error", "The classifier failed; the teacher answered."),
    ("shadow", "No request of a client: the teacher was asked beside the student, to compare. In the ledger only."),
)
