"""The `usd_per_million` sections of breakeven.yaml: what the teacher charges."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from breakeven.gateway.config.types import Moment, Multiplier, Section, Usd, UsdPerMillion


class ContextTier(Section):
    above_prompt_tokens: int = Field(ge=1, description="Prompts longer than this many tokens.")
    input: Multiplier = Field(description="Multiplier of the prices of prompt tokens.")
    output: Multiplier = Field(description="Multiplier of the prices of completion tokens.")


class Prices(Section):
    input: UsdPerMillion = Field(description="USD per million uncached prompt tokens.")
    cached_input: UsdPerMillion | None = Field(
        None, description="USD per million cached prompt tokens; null: the same as input."
    )
    output: UsdPerMillion = Field(description="USD per million completion tokens, reasoning included.")
    cache_write: UsdPerMillion | None = Field(
        None, description="USD per million prompt tokens written to a cache; null: 1.25 times input."
    )
    cache_write_1h: UsdPerMillion | None = Field(
        None, description="USD per million prompt tokens written to a cache for an hour; null: twice input."
    )
    audio_input: UsdPerMillion | None = Field(
        None, description="USD per million prompt tokens of sound; null: the same as input."
    )
    audio_output: UsdPerMillion | None = Field(
        None, description="USD per million completion tokens of sound; null: the same as output."
    )
    usd_per_web_search: Usd = Field(Decimal("0"), description="USD for one web search that the teacher reports.")
    service_tiers: dict[str, Multiplier] = Field(
        {"flex": Decimal("0.5"), "priority": Decimal("2")},
        description="Multipliers of all token prices by the `service_tier` that the answer was served in.",
    )
    context_tiers: list[ContextTier] = Field(
        [], description="Multipliers for long prompts; of several that fit, the one of the longest prompt holds."
    )


class PriceChange(Prices):
    since: Moment = Field(description="When these prices begin to hold.")
