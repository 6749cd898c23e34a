"""The section of breakeven.yaml on traces."""

from __future__ import annotations

from pydantic import Field, field_validator

from breakeven.gateway.config.types import Fraction, Section, http_url


class Tracing(Section):
    otlp_endpoint: str | None = Field(
        None,
        description="Base URL of the collector that gets traces by OTLP over HTTP, such as `http://127.0.0.1:4318`; "
        "null: no traces. Needs `pip install 'breakeven[tracing]'`.",
    )
    sample_ratio: Fraction = Field(
        1.0, description="Share of requests that are traced, of those whose client does not say it by `traceparent`."
    )
    service_name: str = Field("breakeven", min_length=1, description="Name of this service in traces.")
    content: bool = Field(
        False, description="Whether traces hold prompts and answers: their text, up to 32768 characters of each."
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        return None if value is None else http_url(value)
