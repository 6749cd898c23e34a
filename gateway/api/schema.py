"""What the JSON models of the gateway's own API have in common: the base class, and types with their units."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    """One JSON object; a key that it does not name is an error, and values are of the types it names."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, json_schema_serialization_defaults_required=True
    )


Usd = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["0.1975"])]
"""US dollars as an exact decimal string."""

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-01T00:00:00Z"])]
"""ISO 8601 in UTC, to the second."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A share or a probability in [0, 1]."""
