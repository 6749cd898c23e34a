"""The types that sections of breakeven.yaml are made of."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Modality = Literal["text", "image", "audio", "video", "file"]
Output = Literal["text", "image", "audio"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
# A year: event loops take no time that is much longer.
Seconds = Annotated[float, Field(gt=0.0, le=31_536_000.0, allow_inf_nan=False)]
# Picodollars per token stay whole numbers only up to six decimals of USD per million tokens.
UsdPerMillion = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=18, decimal_places=6, allow_inf_nan=False)]
# Whole millionths.
Multiplier = Annotated[Decimal, Field(ge=0, le=1000, decimal_places=6, allow_inf_nan=False)]
TokenizerName = Annotated[str, Field(pattern=r"^(auto|vllm|tiktoken:[\w.-]+|.+\.json)$")]
# The ledger has picodollars in 64 bits.
Usd = Annotated[Decimal, Field(ge=0, le=9_000_000, max_digits=18, decimal_places=6, allow_inf_nan=False)]


def _with_a_zone(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must carry a time zone, such as 2026-11-01T00:00:00Z")
    return value.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_with_a_zone)]


_HTTP_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_ENDPOINTS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/messages")


def http_url(value: str) -> str:
    """The URL without slashes at its end. Raises ValueError for another scheme, a user, a query or a fragment, and for
    a host or a port that is none.
    """
    if not _HTTP_URL.fullmatch(value):
        raise ValueError("must be an http:// or https:// URL without user, query or fragment")
    try:
        parsed = urlsplit(value)
        usable = bool(parsed.hostname) and parsed.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must name a host, IPv6 addresses in [brackets], and a port from 1 to 65535 if any")
    return value.rstrip("/")


def api_url(value: str) -> str:
    """The base URL of an API, as `http_url` gives it. Raises ValueError as that does, and for the URL of one endpoint,
    below which there is nothing.
    """
    if "?" in value:
        raise ValueError("must be a URL without a query; write its parameters under query")
    url = http_url(value)
    for path in _ENDPOINTS:
        if url.endswith(path):
            raise ValueError(f"must be the URL before {path}, which the gateway adds; most end in /v1")
    return url


def chronological(value: list[Any]) -> list[Any]:
    """The dated changes unchanged. Raises ValueError where one does not come after the one before it."""
    for earlier, later in itertools.pairwise(value):
        if later.since <= earlier.since:
            raise ValueError(f"{later.since:%Y-%m-%dT%H:%M:%SZ} must come after the change before it; sort them")
    return value


class Section(BaseModel):
    """A part of the config; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
