"""Further models, named by clients and never routed: what their sections have beside the settings of an upstream."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from breakeven.gateway.config.prices import LookedUp, Prices
from breakeven.gateway.config.types import Usd, UsdPerMillion

# Paths below /v1 that the gateway answers itself.
_OWN = re.compile(r"/(models|feedback)(/.*)?|/(responses|messages)/.*")
_MESSAGES = "/messages"
# What a model needs to be a judge.
CHAT = "/chat/completions"
_PATH = r"^(/[A-Za-z0-9_.-]+)+$"


class ModelPrices(Prices):
    output: UsdPerMillion = Field(
        Decimal("0"), description="USD per million completion tokens; vectors and scores have none."
    )


class ModelSettings(LookedUp):
    """The settings of a further model that an upstream of requests that are routed does not have."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$",
        description="Name that clients send as `model`; no other name of this config.",
    )
    model: str = Field("", description="Name of the model at the upstream; empty or null: the same as `name`.")
    paths: list[Annotated[str, Field(pattern=_PATH)]] = Field(
        ["/embeddings"],
        min_length=1,
        description="Paths below /v1 that the model has, such as `/embeddings`, `/rerank`, `/audio/transcriptions` or "
        "`/chat/completions`.",
    )
    usd_per_million: ModelPrices | None = Field(
        None,
        description="Prices of its tokens; null: those of prices_file or prices_package, else none, as for a server of "
        "one's own.",
    )
    usd_per_request: Usd = Field(
        Decimal("0"),
        description="USD for each request that was answered, beside its tokens; where the answer counts searches as "
        "Cohere does, for each of these.",
    )

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        found = value if value.get("model") else {**value, "model": value.get("name", "")}
        paths = found.get("paths")
        return {"messages": "native", **found} if isinstance(paths, list) and _MESSAGES in paths else found

    @field_validator("paths")
    @classmethod
    def _not_our_own(cls, value: list[str]) -> list[str]:
        for path in value:
            if _OWN.fullmatch(path):
                raise ValueError(f"{path} is answered by the gateway itself; remove it")
        return list(dict.fromkeys(value))

    @model_validator(mode="after")
    def _changes_of_prices(self) -> ModelSettings:
        if self.price_changes and self.usd_per_million is None:
            raise ValueError("price_changes needs usd_per_million")
        return self


def check_names(models: Sequence[ModelSettings], taken: Collection[str], aliases: Mapping[str, str]) -> None:
    """Raise ValueError, with the key at fault, for a name that means something else already.

    `taken`: auto, student, teacher, and the names of their models.
    """
    seen: set[str] = set()
    for index, one in enumerate(models):
        where = f"models[{index}].name: {one.name!r}"
        if one.name in seen:
            raise ValueError(f"{where} is the name of another of the models; choose another")
        if one.name in taken:
            raise ValueError(f"{where} is the name of an upstream of the gateway already; choose another")
        if one.name in aliases:
            raise ValueError(f"{where} is an alias, too; remove routing.aliases.{one.name}, or choose another name")
        seen.add(one.name)
