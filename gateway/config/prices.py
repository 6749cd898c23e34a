"""What the teacher charges, as breakeven.yaml says it: prices, or the file or package that has them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from breakeven.gateway.config.types import Moment, Multiplier, Section, Usd, UsdPerMillion, chronological

# The keys of the teacher of which exactly one says its prices.
PRICED_BY = ("usd_per_million", "prices_file", "prices_package")
# Multipliers of the service tiers that have one price for all models at most providers.
SERVICE_TIERS = {"flex": Decimal("0.5"), "priority": Decimal("2")}


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
        SERVICE_TIERS,
        description="Multipliers of all token prices by the `service_tier` that the answer was served in.",
    )
    context_tiers: list[ContextTier] = Field(
        [], description="Multipliers for long prompts; of several that fit, the one of the longest prompt holds."
    )


class PriceChange(Prices):
    since: Moment = Field(description="When these prices begin to hold.")


class LookedUp(Section):
    """The settings that say what an upstream charges, and where its prices are looked up otherwise."""

    usd_per_million: Prices | None = None
    prices_file: str | None = Field(
        None,
        description="File of prices in LiteLLM's format, relative to this file, in which the model's are looked up: "
        "in place of usd_per_million.",
    )
    prices_package: Literal["genai-prices"] | None = Field(
        None,
        description="Installed package in which the model's prices are looked up: in place of usd_per_million; "
        "`pip install 'breakeven[prices]'`.",
    )
    prices_provider: str | None = Field(
        None, description="Provider of the model in prices_package; null: the one whose API is at base_url."
    )
    prices_model: str | None = Field(
        None, description="Name of the model in prices_file or prices_package; null: as model."
    )
    price_changes: list[PriceChange] = Field([], description="Dated changes of the prices, in chronological order.")

    # Where `load_config` found the prices, in words; None for prices of the config itself.
    _prices_source: str | None = PrivateAttr(None)

    _in_order = field_validator("price_changes")(chronological)

    @property
    def prices_source(self) -> str | None:
        """The file or package that the prices are from, with its date; None where the config has them."""
        return self._prices_source

    @model_validator(mode="before")
    @classmethod
    def _priced_once(cls, value: Any) -> Any:
        if isinstance(value, dict):
            given = [key for key in PRICED_BY if value.get(key) is not None]
            required = cls.model_fields["usd_per_million"].is_required()
            if len(given) > 1 or (required and not given):
                fault = f"{' and '.join(given)} are given" if given else "none of them is given"
                raise ValueError(f"give exactly one of {', '.join(PRICED_BY)}; {fault}")
            if value.get("prices_model") is not None and given in ([], ["usd_per_million"]):
                raise ValueError("prices_model names a model in prices_file or prices_package; neither is given")
            if value.get("prices_provider") is not None and "prices_package" not in given:
                raise ValueError("prices_provider names a provider in prices_package, which is not given")
        return value


class TeacherPrices(LookedUp):
    """The settings of the teacher that say what it charges."""

    usd_per_million: Prices = Field(
        description="The teacher's prices; exactly one of this, prices_file and prices_package."
    )
