"""The `routing` section of breakeven.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from breakeven.gateway.config.types import Fraction, Seconds, Section


class Escalation(Section):
    probe_tokens: int = Field(24, ge=1, description="First tokens of the student's answer that are checked.")
    min_mean_logprob: float = Field(-1.2, le=0.0, description="The teacher answers below this mean log-probability.")
    min_low_logprob: float | None = Field(
        None, le=0.0, description="The teacher also answers below this 20% quantile of log-probabilities; null: off."
    )
    max_hold_seconds: Seconds = Field(
        2.0, description="Longest time to hold a stream back after its first event; then the tokens so far are checked."
    )


class Routing(Section):
    artifact: str | None = Field(None, description="Directory of the router artifact; null: the packaged one.")
    start: Literal["observe", "share"] = Field(
        "observe",
        description="What holds without an artifact or a threshold of one's own: `observe` (the teacher answers, and "
        "the student is measured beside it) or `share` (the most difficult requests go to the teacher).",
    )
    teacher_share: Fraction = Field(
        0.2,
        description="With `start: share`, the share of requests that goes to the teacher, the most difficult ones; "
        "later turns of conversations are counted, too.",
    )
    threshold: Fraction | None = Field(
        None,
        description="Route at once, by this threshold: a score at or above it goes to the teacher. null: as `start` "
        "and the stage of the workload say; with an artifact of one's own 0.5.",
    )
    novelty_threshold: Fraction = Field(1.0, description="A novelty at or above it goes to the teacher; 1.0: never.")
    sticky: bool = Field(True, description="Session affinity: later turns of a conversation go to the same upstream.")
    fallback: bool = Field(True, description="Try the other upstream if one fails before the first byte.")
    escalation: Escalation | None = Field(None, description="Check the start of the student's answer; null: off.")
    aliases: dict[Annotated[str, Field(min_length=1, max_length=256)], str] = Field(
        {},
        description="Further model names and what they mean, such as `{gpt-4o: auto}`: auto, auto@0.35, student, "
        "teacher, an upstream's model, or the name of one of `models`. An upstream's own model name can be one.",
    )
