"""What /admin/report answers, as documented models. Money is USD as exact decimal strings."""

from __future__ import annotations

from pydantic import Field

from breakeven.gateway.api.judge_schemas import JudgeState
from breakeven.gateway.api.schema import Schema, Timestamp, Usd


class TokenCounts(Schema):
    """Tokens as the upstream reported them."""

    input: int = Field(ge=0, description="Prompt tokens that were not cached.")
    cached_input: int = Field(ge=0, description="Prompt tokens that were cached.")
    cache_write: int = Field(ge=0, description="Prompt tokens that were written to a cache.")
    output: int = Field(ge=0, description="Output tokens, reasoning among them.")


class TokenCosts(Schema):
    """What those tokens cost."""

    input: Usd = Field(description="Prompt tokens that were not cached, USD.")
    cached_input: Usd = Field(description="Cached prompt tokens, USD.")
    cache_write: Usd = Field(description="Prompt tokens written to a cache, USD.")
    output: Usd = Field(description="Output tokens, USD.")
    tools: Usd = Field(description="Fees beside tokens, such as web searches, USD.")


class EstimatedTokens(Schema):
    """What no upstream reported, estimated from what was sent and delivered; part of no other figure."""

    input_tokens: int = Field(ge=0, description="Prompt tokens.")
    output_tokens: int = Field(ge=0, description="Output tokens.")
    cost_usd: Usd = Field(description="What they would cost, USD.")


class UpstreamTotals(Schema):
    """The traffic of one upstream, pinned requests among it."""

    requests: int = Field(ge=0, description="Requests that this upstream answered last.")
    attempts: int = Field(ge=0, description="Calls, fallbacks and escalations among them.")
    usage_missing: int = Field(ge=0, description="Calls for which the upstream reported no complete usage.")
    tokens: TokenCounts
    cost_usd: TokenCosts
    estimated: EstimatedTokens


class ModelTotals(UpstreamTotals):
    """The traffic of one further model."""

    model: str = Field(description="Its name in the config, now or then.")


class Upstreams(Schema):
    """Totals of the student, the teacher, and all further models together."""

    student: UpstreamTotals
    teacher: UpstreamTotals
    model: UpstreamTotals


class Interval(Schema):
    """An estimate with its 95% interval."""

    estimate: float = Field(description="The estimate; 1: as good as the teacher.")
    lower: float = Field(description="Lower end of the interval.")
    upper: float = Field(description="Upper end of the interval.")


class RoutedInterval(Interval):
    """An estimate with its 95% interval, and what it rests on."""

    pairs: int = Field(ge=0, description="Compared pairs of answers.")


class SavingsPoint(Schema):
    """One point of the curve of cumulative savings."""

    until: Timestamp = Field(description="The moment.")
    savings_usd: Usd = Field(description="Savings from the beginning of the ledger until then, USD.")


class Projection(Schema):
    """When savings reach the investment at the pace of recent days.

    The interval is from resampled days and the error of the estimated baseline.
    """

    days: int = Field(description="Whole days that the pace is taken from.")
    savings_usd_per_day: Usd = Field(description="The pace, USD per day.")
    expected: Timestamp = Field(description="When break-even is expected.")
    early: Timestamp = Field(description="Begin of the 90% interval.")
    late: Timestamp = Field(description="End of the 90% interval.")


class MoneyShare(Schema):
    """What a part of the routed traffic cost and saved; the parts add up to the report's figures."""

    requests: int = Field(ge=0, description="Routed requests.")
    baseline_usd: Usd | None = Field(description="What the teacher would have charged, USD, estimated; null as above.")
    baseline_usd_lower: Usd | None = Field(description="Lower end of its 95% interval; null as above.")
    baseline_usd_upper: Usd | None = Field(description="Upper end of its 95% interval; null as above.")
    baseline_upper_bound_usd: Usd = Field(description="The same with the student's own tokens, USD: no estimate.")
    teacher_spend_usd: Usd = Field(description="What the requests cost at the teacher, USD.")
    hosting_usd: Usd = Field(description="Its part of hosting, by the tokens that the student served, USD.")
    savings_usd: Usd | None = Field(description="Baseline minus spend and hosting, USD; null as above.")
    savings_usd_lower: Usd | None = Field(description="Lower end of its 95% interval; null as above.")
    savings_usd_upper: Usd | None = Field(description="Upper end of its 95% interval; null as above.")


class WorkloadShare(MoneyShare):
    """One workload."""

    workload: str = Field(description="Its name; (other): all others together.")


class KeyShare(MoneyShare):
    """One client key."""

    key: str = Field(
        description="Its name; (none): without a key; (shadow): the teacher's answers for "
        "comparison; (other): all others together."
    )


class HostingObserved(Schema):
    """What was observed of the student's replicas in the period."""

    share: float | None = Field(description="Share of the hosted time that was observed; null: nothing was.")
    replicas: float | None = Field(description="Replicas that run now; null: not observed now.")
    mean_replicas: float | None = Field(description="Replicas on average over the observed time; null: none was.")
    idle_share: float | None = Field(description="Share of the replicas' time without a request; null: not measured.")
    share_without_tokens: float | None = Field(
        description="Share of the replicas' time in intervals without any token, certainly idle; null: not measured."
    )
    full_load_usd_per_million_tokens: float | None = Field(
        description="student_usd_per_million_tokens if the replicas were always as busy as while they had requests; "
        "null: not measured over nearly all of the period."
    )


class ProviderSpend(Schema):
    """What one provider of the teacher was paid, pinned requests and comparisons included."""

    provider: str = Field(description="Its name in teacher.fallbacks; teacher: the first one.")
    attempts: int = Field(ge=0, description="Calls.")
    tokens: int = Field(ge=0, description="Tokens of prompts and answers.")
    cost_usd: Usd = Field(description="At its own prices, USD.")
    estimated_cost_usd: Usd = Field(description="What it did not report, estimated, USD; part of no other figure.")


class Report(Schema):
    """Cost, baseline, savings and payback of a period."""

    since: Timestamp = Field(description="Begin of the period.")
    until: Timestamp = Field(description="End of the period.")
    requests: int = Field(ge=0, description="Requests with at least one attempt.")
    upstreams: Upstreams
    baseline_usd: Usd | None = Field(
        description="What the teacher would have charged for all routed requests, USD, with the lengths of its own "
        "answers, estimated from compared ones; null: too few were compared."
    )
    baseline_usd_lower: Usd | None = Field(description="Lower end of its 95% interval; null as above.")
    baseline_usd_upper: Usd | None = Field(description="Upper end of its 95% interval; null as above.")
    baseline_upper_bound_usd: Usd = Field(
        description="The teacher's bills for its own answers, and the student's tokens at the teacher's prices, USD: "
        "no estimate."
    )
    teacher_spend_usd: Usd = Field(description="What routed requests cost at the teacher, USD.")
    pinned_spend_usd: Usd = Field(description="What pinned requests cost at the teacher, outside of the savings, USD.")
    models_spend_usd: Usd = Field(
        description="What requests to further models cost, outside of the savings and of the teacher's spend, USD."
    )
    models: list[ModelTotals] = Field(description="Further models that had traffic in the period, by name.")
    hosting_usd: Usd = Field(
        description="Hosting of the student, USD: observed replicas where they were observed, else the schedule."
    )
    hosting_observed: HostingObserved
    savings_usd: Usd | None = Field(
        description="Estimated baseline minus teacher spend and hosting, USD; may be negative; null: too few answers "
        "were compared."
    )
    savings_usd_lower: Usd | None = Field(description="Lower end of its 95% interval; null as above.")
    savings_usd_upper: Usd | None = Field(description="Upper end of its 95% interval; null as above.")
    savings_upper_bound_usd: Usd = Field(
        description="The same against the upper bound of the baseline, USD: the most that can have been saved if the "
        "teacher's answers are as long as the student's."
    )
    compared_pairs: int = Field(ge=0, description="Compared answers that the estimates rest on.")
    compared_pairs_needed: int = Field(ge=0, description="How many more are needed before anything is estimated.")
    investment_usd: Usd = Field(description="One-time costs so far, USD.")
    payback_ratio: float | None = Field(
        description="Savings from the beginning over the investment; null: not measured, or nothing was invested."
    )
    payback_at: Timestamp | None = Field(description="When break-even was reached, or is expected; null: not known.")
    student_usd_per_million_tokens: float | None = Field(
        description="Hosting over the student's tokens, USD per million; null: it served none."
    )
    by_workload: list[WorkloadShare] = Field(description="The same by workload, the largest baseline first.")
    by_key: list[KeyShare] = Field(description="The same by client key, the largest baseline first.")
    shadow_spend_usd: Usd = Field(description="Part of the spend that comparisons took, USD.")
    output_token_ratio: float | None = Field(
        description="Output tokens of the teacher for one of the student's, from compared pairs; null: no pairs."
    )
    quality_retention: RoutedInterval | None = Field(
        description="Share of the teacher's quality that routed traffic keeps; null: no pairs."
    )
    student_quality_retention: Interval | None = Field(
        description="The same for the student's answers alone; null: no pairs."
    )
    unrouted_quality_retention: RoutedInterval | None = Field(
        description="Share of the teacher's quality that the student's answers keep on requests that the teacher "
        "answered, such as all at stage observe; null: none was compared."
    )
    judges: list[JudgeState] = Field(
        description="The judges of the comparisons. What was compared while one measured nothing is in no quality."
    )
    by_provider: list[ProviderSpend] = Field(
        description="The teacher's spend by provider, those that were called in the period."
    )
    curve: list[SavingsPoint] = Field(description="Cumulative savings, oldest first; empty until they are measured.")
    projection: Projection | None = Field(
        description="null: savings are not measured, nothing is left to pay back, there are fewer than three whole "
        "days, or the interval has no end."
    )
