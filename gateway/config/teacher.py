"""The sections of breakeven.yaml on the teacher, and on the other providers that stand in for it."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from breakeven.gateway.config.prices import TeacherPrices
from breakeven.gateway.config.types import Modality, Output
from breakeven.gateway.config.upstream import Upstream

# Bounded, so that it can be the label of a metric.
PROVIDER = r"^[A-Za-z0-9_.-]{1,64}$"
MOST_FALLBACKS = 16
# What names the two roles, or the first provider of the teacher.
_RESERVED = frozenset({"auto", "student", "teacher"})


class Fallback(TeacherPrices, Upstream):
    """Another provider or region of the teacher. What it can take is declared; a request for more skips it."""

    name: str = Field(
        pattern=PROVIDER,
        description="Name of the provider in the ledger, the log, the report, metrics and `x-breakeven-provider`.",
    )
    context_window: int | None = Field(
        None, ge=1, description="Maximum tokens of prompt and answer together; null: not checked."
    )
    modalities: list[Modality] | None = Field(
        None, min_length=1, description="Kinds of input that it supports; null: not checked."
    )
    output_modalities: list[Output] | None = Field(
        None, min_length=1, description="Kinds of output that it makes; null: not checked."
    )
    tools: bool = Field(True, description="Whether it supports tool calls.")
    tool_types: list[str] | None = Field(
        None, description="Types of tools that it supports, such as function or web_search; null: not checked."
    )

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if value in _RESERVED:
            raise ValueError(f"{value} has a meaning of its own; choose another name")
        return value


class Teacher(TeacherPrices, Upstream):
    """The API that is paid for by the token."""

    fallbacks: list[Fallback] = Field(
        [],
        max_length=MOST_FALLBACKS,
        description="Other providers or regions of the teacher, asked in this order where the ones before are not "
        "available or fail before the first byte.",
    )

    @model_validator(mode="after")
    def _fallbacks_differ(self) -> Teacher:
        seen: list[tuple[str, Upstream]] = [("teacher", self)]
        names: set[str] = set()
        for index, one in enumerate(self.fallbacks):
            if one.name in names:
                raise ValueError(f"fallbacks[{index}].name: {one.name} is given twice; each name must be unique")
            names.add(one.name)
            for other, section in seen:
                if one.reaches_the_same(section):
                    raise ValueError(
                        f"fallbacks[{index}]: the same base_url, model and key as {other}; name another provider, "
                        "region, account or model"
                    )
            seen.append((f"fallbacks[{index}]", one))
        return self
