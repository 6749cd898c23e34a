"""What the routes about single requests and comparisons answer, as documented models."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from breakeven.gateway.api.admin_schemas import RecordedDecision
from breakeven.gateway.api.schema import Schema, Share, Usd


class AttemptMade(Schema):
    """One call to an upstream."""

    # Names are text and not enums, and numbers may be decimals: see RecordedDecision.
    model_config = ConfigDict(strict=False)

    number: int = Field(ge=1, description="1 for the first attempt.")
    upstream: str = Field(description="student, teacher, or model for a further one.")
    provider: str = Field(description="Its name among the fallbacks or further models; empty: the first of its role.")
    version: str = Field(description="Which model was asked: served name and revision; empty: not known.")
    outcome: str = Field(description="How it ended, such as ok.")
    status: int | None = Field(description="HTTP status of the upstream; null: no answer.")
    cause: str | None = Field(description="Why it failed, as in `breakeven_upstream_failures_total`; null: it did not.")
    meaning: str | None = Field(description="The cause in words; null: it did not fail.")
    upstream_request_id: str | None = Field(description="What the provider calls the call; null: it did not say.")
    prompt_tokens: int = Field(ge=0, description="Prompt tokens, cached ones among them.")
    cached_tokens: int = Field(ge=0, description="Cached prompt tokens.")
    output_tokens: int = Field(ge=0, description="Output tokens.")
    usage_complete: bool = Field(description="Whether the upstream reported all of them.")
    service_tier: str | None = Field(description="As the upstream reported it; null: it did not.")
    cost_usd: Usd = Field(description="What it cost by the token, USD; the student's is paid by the hour.")
    estimated_cost_usd: Usd = Field(description="What nobody reported, estimated, USD; part of no other figure.")
    first_event_seconds: float | None = Field(description="Until the first event of the answer; null: none came.")
    seconds: float = Field(ge=0, description="Duration, seconds.")


class RequestDetails(Schema):
    """One settled request, with all that is known of it."""

    request: RecordedDecision
    why: list[str] = Field(description="What makes the prompt look hard or easy, in words; empty: it is not stored.")
    attempts: list[AttemptMade] = Field(description="Calls to upstreams, in order.")
    feedback: Share | None = Field(description="A user's score of the answer; null: none was sent.")
    compared: bool = Field(description="Whether the student's and the teacher's answers to it were compared.")


class FeedbackGiven(Schema):
    """An operator's score of one answer."""

    score: float = Field(ge=0.0, le=1.0, allow_inf_nan=False, description="From 0 (useless) to 1 (nothing to improve).")


class SeriesPoint(Schema):
    """The requests of one interval, without comparisons and pinned ones among them."""

    at: int = Field(description="Its begin, microseconds since the Unix epoch.")
    student: int = Field(ge=0, description="Requests that the student answered.")
    teacher: int = Field(ge=0, description="Requests that the teacher answered.")
    other: int = Field(ge=0, description="Requests that further models answered.")
    teacher_usd: float = Field(description="What the teacher was paid, comparisons included, USD.")


class Series(Schema):
    """Requests over time."""

    step: int = Field(description="Length of an interval, microseconds: an hour, or a day for more than ten days.")
    points: list[SeriesPoint] = Field(description="Intervals with requests, oldest first.")
    keys: list[str] = Field(description="Names of client keys with requests in the period; empty: without a key.")
    workloads: list[str] = Field(description="Workloads with requests in the period.")


class ComparedPair(Schema):
    """One comparison of the student's and the teacher's answer to a request. No text."""

    model_config = ConfigDict(strict=False)

    request: str = Field(description="The ledger's id of the client's request.")
    at: int = Field(description="When it began, microseconds since the Unix epoch.")
    workload: str = Field(description="Its workload.")
    direction: str = Field(description="Which of the two answers the client got: student_answered, teacher_answered.")
    student_version: str = Field(description="Version of the student; empty: not known.")
    teacher_version: str = Field(description="Version of the teacher; empty: not known.")
    weight: float = Field(description="One over the probability with which it was compared.")
    student_score: Share = Field(description="Score of the student's answer.")
    teacher_score: Share = Field(description="Score of the teacher's answer.")
    verdict: Literal["student", "teacher", "tie"] | None = Field(
        description="Which answer a person found better; null: nobody was asked."
    )
    stored: bool = Field(description="Whether the conversation with both answers is stored.")


class ComparedPairs(Schema):
    """Comparisons, the newest first."""

    comparisons: list[ComparedPair] = Field(description="To read on, send `next_before` as `before`.")
    next_before: int | None = Field(description="Where older ones begin; null: there are none.")


class Message(Schema):
    """One message of a conversation."""

    role: str = Field(description="Such as user.")
    content: str = Field(description="Its text.")


class JudgeVerdict(Schema):
    """What one judge said of a pair."""

    judge: str = Field(description="Its name.")
    verdict: Literal["student", "teacher", "tie"] = Field(description="The better answer.")
    consistent: bool = Field(description="Whether it said the same in both orders.")


class ComparisonDetails(Schema):
    """One comparison with its texts."""

    comparison: ComparedPair
    judges: list[JudgeVerdict] = Field(description="What the judges said; empty: none was asked.")
    messages: list[Message] = Field(description="The conversation; empty: it is not stored.")
    student_answer: str | None = Field(description="The student's answer with its calls; null: not stored.")
    teacher_answer: str | None = Field(description="The teacher's answer with its calls; null: not stored.")
