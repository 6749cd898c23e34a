"""What reports and the road say of judges, as the HTTP API has it."""

from __future__ import annotations

from pydantic import Field

from breakeven.gateway.api.schema import Schema, Share


class Estimate(Schema):
    """A share with its 95% interval."""

    value: float = Field(description="The estimate.")
    low: float = Field(description="Lower end.")
    high: float = Field(description="Upper end.")


class JudgeState(Schema):
    """What a judge's own verdicts say of it."""

    judge: str = Field(description="Its name.")
    pairs: int = Field(description="Pairs that it judged in both orders.")
    same_in_both_orders: Estimate = Field(description="Share of them with the same verdict in both orders.")
    prefers_first: Share = Field(description="Share of which it preferred the answer shown first in both orders.")
    prefers_last: Share = Field(description="Share of which it preferred the answer shown last in both orders.")
    measures: bool = Field(description="Whether its verdicts measure anything; false: it does not read the answers.")
    longer_is_better: Estimate | None = Field(
        description="Share of its verdicts on answers of different length that are for the longer one; null: none."
    )
    follows_length: bool = Field(description="Whether its verdicts surely follow length, whoever wrote the answer.")
