"""The sections of breakeven.yaml on the student, and on the candidate that may become the next one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, field_validator

from breakeven.gateway.config.hosting import HostingObserved
from breakeven.gateway.config.outbound import PASSED
from breakeven.gateway.config.types import (
    Fraction,
    Modality,
    Moment,
    Output,
    Section,
    TokenizerName,
    Usd,
    chronological,
)
from breakeven.gateway.config.upstream import MESSAGES, TOKENIZER, Upstream


class HostingChange(Section):
    since: Moment = Field(description="Time from which the change applies.")
    usd_per_hour: Usd = Field(description="Cost of one replica per hour from then on, in USD.")
    replicas: int = Field(1, ge=0, description="Number of replicas from then on.")


class Student(Upstream):
    # The student is one's own: a router before its replicas may see sessions, and choose the replica by them.
    pass_headers: list[str] = Field(
        [*PASSED, "baggage", "x-session-id", "x-data-parallel-rank"],
        description="Client headers that are passed to the student; all others are not. Replaces the default.",
    )
    tokenizer: TokenizerName | None = Field("auto", description=TOKENIZER)
    messages: Literal["native", "translate", "auto"] = Field("auto", description=MESSAGES)
    context_window: int | None = Field(
        None,
        ge=1,
        description="Maximum tokens of prompt and answer together; null: max_model_len from the upstream's /v1/models.",
    )
    modalities: list[Modality] = Field(["text"], min_length=1, description="Kinds of input that the student supports.")
    output_modalities: list[Output] = Field(
        ["text"], min_length=1, description="Kinds of output that the student makes; a request for others: the teacher."
    )
    tools: bool = Field(True, description="Whether the student supports tool calls.")
    tool_types: list[str] = Field(
        ["function", "custom", "local_shell", "shell", "apply_patch"],
        description="Types of tools that the student's server passes to the model, such as mcp if it runs it; "
        "a request that offers others goes to the teacher.",
    )
    chat_template_kwargs: dict[str, bool | int | float | str] = Field(
        {},
        description="Variables of the student's chat template, sent with chat completions that do not set them, as "
        "enable_thinking. A student of `breakeven distill train` needs none: its template has those of its training.",
    )
    background: bool = Field(
        False,
        description="Whether the student's server takes `background: true` at /v1/responses and stores the answer, as "
        "a vLLM with VLLM_ENABLE_RESPONSES_API_STORE=1 does; else such requests go to the teacher.",
    )
    hosting_usd_per_hour: Usd = Field(
        Decimal("0"), description="Cost of one replica of the student per hour, used or idle, in USD."
    )
    hosting_replicas: int = Field(1, ge=0, description="Number of replicas of the student, each paid for by the hour.")
    hosting_changes: list[HostingChange] = Field([], description="Dated changes of rate or replicas, in order.")
    hosting_observed: HostingObserved | None = Field(
        None, description="Pay for the replicas that are seen running, where they are seen; null: by the schedule only."
    )

    _in_order = field_validator("hosting_changes")(chronological)


class Candidate(Student):
    """The next student as an experiment: another server, or another model or adapter of the student's server."""

    share: Fraction = Field(
        0.0,
        description="Share of the conversations that go to the student which the candidate answers in its place; "
        "0: it only answers beside the student, to be compared.",
    )

    def as_student(self) -> Student:
        """The section that the student has once this one is promoted."""
        return Student.model_validate(self.model_dump(exclude_unset=True, exclude={"share"}))

    def given(self) -> dict[str, Any]:
        """What is to be written into the config then, as JSON values: the keys that are set."""
        return self.model_dump(mode="json", exclude_unset=True, exclude={"share"})
