"""The section of breakeven.yaml on the log."""

from __future__ import annotations

from pydantic import Field

from breakeven.gateway.config.types import Fraction, Seconds, Section


class Log(Section):
    sample: Fraction = Field(
        1.0,
        description="Share of settled requests that get a line in the log, drawn by their id. Those that did not end "
        "well, fell back or were slow always get one.",
    )
    slow_seconds: Seconds = Field(30.0, description="A request that takes longer is slow.")
