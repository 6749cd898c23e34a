"""What /admin/route, /admin/decisions and /admin/whatif answer, as documented models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from breakeven.gateway.api.schema import Schema, Share, Timestamp, Usd
from breakeven.gateway.policy.active import ActivePolicy
from breakeven.router.policy import Reason, Route

Score = Annotated[
    Share, Field(description="The router's score of the prompt, on a scale of its own; see `difficulty`.")
]
Novelty = Annotated[Share, Field(description="Distance from the reference set, as a quantile of it.")]
ThresholdUsed = Annotated[float, Field(description="difficult when score >= threshold.")]


class PolicyInForce(ActivePolicy):
    """The policy in force for requests without a workload, and what decided it."""

    decided_by: Literal["stages", "config", "admin"] = Field(
        description="stages: the stage of each workload, since the config has neither threshold nor artifact; config: "
        "these; admin: PUT /admin/policy, which comes first."
    )


class FeatureContribution(Schema):
    """How much one feature of the prompt moved the score."""

    feature: str = Field(description="Name of the feature, such as a word, its letters, or a measure of the prompt.")
    log_odds: float = Field(
        serialization_alias="push", description="Added to the log-odds of the score; positive: towards the teacher."
    )


class EarlierTurns(Schema):
    """What made a decision sticky."""

    why: str = Field(
        description="difficult, novel, escalated or easy: an earlier turn was; tool_call: the upstream made the call "
        "whose result this is; stored: it stores what the request names."
    )
    until: Timestamp | None = Field(description="When it ends if no turn follows; null: as long as the body is this.")


class Difficulty(Schema):
    """How hard a prompt is."""

    harder_than: Share | None = Field(description="Share of others that are easier; null: the score does not say.")
    among: Literal["own_traffic", "reference_prompts"] | None = Field(
        description="Which others: the workload's newest requests that this artifact scored, from 200 of them on; "
        "before that the prompts that ranks refer to, half of them everyday ones."
    )
    probability: Share | None = Field(
        description="Probability that the student's answer is worse; null: the router was not trained on outcomes."
    )
    text: str = Field(description="The same in words; empty where nothing is known.")


class ExplainedDecision(Schema):
    """Where a body would be routed now, and why. No upstream is called."""

    route: Route
    reason: Reason
    score: Score | None = Field(description="null where no rule needed it.")
    threshold: ThresholdUsed
    novelty: Novelty | None = Field(description="null where no rule needed it.")
    hold: EarlierTurns | None = Field(description="Why the reason is sticky; null for any other reason.")
    tokens: int = Field(ge=0, description="Estimated tokens of the prompt.")
    router: str = Field(description="Hash of the router artifact, 12 hex digits.")
    difficulty: Difficulty
    why: list[str] = Field(description="What makes the prompt look hard or easy, in words, strongest first.")
    alike: int = Field(ge=0, description="Compared prompts of the workload that are like it; 0: fewer than three are.")
    alike_failed: int = Field(ge=0, description="On how many of them the student's answer was worse.")
    explanation: str = Field(description="All of that as one line.")
    contributions: list[FeatureContribution] = Field(
        serialization_alias="pushes", description="The features that moved the score most, strongest first."
    )


class RecordedDecision(Schema):
    """One settled request as the ledger has it, without any text of it.

    Names are text and not enums: gateways of other versions may write to the same ledger.
    """

    # Sums over PostgreSQL's bigint columns arrive as decimals.
    model_config = ConfigDict(strict=False)

    id: str = Field(description="The ledger's own id of the request.")
    request_id: str = Field(description="The `x-request-id` of the answer.")
    at: int = Field(description="When the request began, microseconds since the Unix epoch.")
    endpoint: str = Field(description="Such as chat_completions.")
    key: str = Field(description="Name of the client's key; empty: none.")
    workload: str = Field(description="Its workload.")
    stream: bool = Field(description="Whether the answer was asked for as a stream.")
    route: str = Field(description="Upstream that was decided for: student or teacher.")
    reason: str = Field(description="Why, such as easy, difficult or pinned.")
    pinned: bool = Field(description="Whether the client named the upstream: such requests are outside the baseline.")
    score: Score | None = Field(description="null where no rule needed it.")
    difficulty: Difficulty | None = Field(description="null without a score, and for a router that is gone.")
    threshold: ThresholdUsed | None = Field(description="null where none was used.")
    novelty: Novelty | None = Field(description="null where no rule needed it.")
    artifact: str | None = Field(description="Hash of the router artifact that scored it, 12 hex digits.")
    outcome: str = Field(description="How it ended, such as ok, truncated or client_cancelled.")
    status: int = Field(description="HTTP status of the answer.")
    seconds: float = Field(ge=0, description="Duration of the request, seconds.")
    attempts: int = Field(ge=1, description="Calls to upstreams.")
    prompt_tokens: int = Field(ge=0, description="Prompt tokens of all attempts, cached ones among them.")
    output_tokens: int = Field(ge=0, description="Output tokens of all attempts.")
    cost_usd: Usd = Field(description="Cost of all attempts by the token, USD; the student's are paid by the hour.")
    baseline_usd: Usd = Field(
        description="The answer's tokens at the teacher's prices, USD: the teacher's own bill, or for an answer of the "
        "student an upper bound, since the teacher's own length is not known for one request."
    )


class RecordedDecisions(Schema):
    """Settled requests, the newest first."""

    decisions: list[RecordedDecision] = Field(description="To read on, send `next_before` as `before`.")
    next_before: int | None = Field(
        description="Where older requests begin, microseconds since the Unix epoch; null: there are none. With filters "
        "50,000 requests are searched at most, and this is where the search ended."
    )


class WhatIfPoint(Schema):
    """What one threshold would have meant for recorded traffic. Money is in USD, as estimated numbers."""

    threshold: Share = Field(description="The threshold looked at.")
    requests: int = Field(ge=0, description="Recorded requests that this artifact scored.")
    teacher_share: Share = Field(description="Share of them that would go to the teacher.")
    novel_share: Share = Field(description="Share of them that would go to the teacher for their novelty.")
    expected_retention: float | None = Field(
        description="Share of the teacher's quality that the threshold is expected to keep, from compared answers of "
        "this student; null: not measured yet, see `comparisons_needed`."
    )
    expected_retention_interval: list[float] | None = Field(
        min_length=2, max_length=2, description="Its 95% interval: lower and upper end; null as above."
    )
    baseline_usd: float | None = Field(
        description="All of them at the teacher, USD, the student's estimated from compared answers; null: too few "
        "were compared."
    )
    teacher_usd: float | None = Field(description="Those that would go to the teacher, USD; null as above.")
    monthly_cost_usd: float | None = Field(
        description="Teacher spend and hosting, USD per month; null: not measured, or a record of less than an hour."
    )
    monthly_savings_usd: float | None = Field(
        description="Baseline minus that cost, USD per month; negative: a loss; null as above."
    )
    payback_months: float | None = Field(
        description="Months until such savings reach the investment; null: never, or not known."
    )


class WhatIf(Schema):
    """What thresholds would have meant for recorded traffic, from its scores and costs."""

    artifact: str = Field(description="Hash of the router artifact whose scores these are, 12 hex digits.")
    novelty_threshold: Share = Field(description="The novelty threshold used: a novelty at or above it is novel.")
    months: float | None = Field(description="Length of the record in months; null: shorter than an hour.")
    of: Literal["requests", "comparisons"] = Field(
        description="What the shares are of: recorded requests, or comparisons while the artifact scored no request."
    )
    comparisons: int = Field(
        ge=0, description="Compared answers of this student, scored by this artifact, that the quality is from."
    )
    comparisons_needed: int = Field(ge=0, description="How many more are needed before the quality is said.")
    compared_pairs: int = Field(ge=0, description="Compared answers that the costs are estimated from.")
    compared_pairs_needed: int = Field(ge=0, description="How many more are needed before costs are estimated.")
    points: list[WhatIfPoint] = Field(
        description="One for each threshold, from the lowest; with `shares` from the smallest teacher share."
    )
