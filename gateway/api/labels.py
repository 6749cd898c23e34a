"""/admin/labels: a person judges stored pairs of answers in the browser, those first whose label tells most.

As `breakeven label` in a terminal. The person is not told which answer is whose.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Security
from pydantic import Field

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.api.comparisons import messages
from breakeven.gateway.api.errors import documented
from breakeven.gateway.api.reading import asked
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.schema import Schema
from breakeven.gateway.api.security import admin_key
from breakeven.gateway.api.traffic_schemas import Message
from breakeven.gateway.errors import RequestError
from breakeven.gateway.reports import labelling
from breakeven.gateway.runtime.services import Services

_Id = Annotated[str, Field(max_length=32)]


class AskedPair(Schema):
    """A pair that a person is asked about; the order of its answers is random."""

    request: str = Field(description="The ledger's id of the client's request.")
    messages: list[Message] = Field(description="The conversation.")
    first: str = Field(description="One of the two answers, with its calls of tools.")
    second: str = Field(description="The other one.")


class LabelState(Schema):
    """Which pair comes next, and what people's verdicts say so far."""

    workload: str = Field(description="The workload.")
    pair: AskedPair | None = Field(description="The pair whose label tells most; null: none is left.")
    waiting: int = Field(ge=0, description="Stored pairs that nobody has judged.")
    verdicts: int = Field(ge=0, description="Verdicts of people on pairs that count now.")
    scorer: str = Field(description="How far the scorer agrees with people, in words; empty: nobody was asked.")
    quality: str = Field(description="The student's quality as people's verdicts correct it, in words.")
    hint: str | None = Field(description="Why there is no pair, and what to do; null: there is one.")


class Verdict(Schema):
    """What a person says of a pair."""

    better: Literal["first", "second", "tie"] = Field(description="The better answer, or that they are as good.")
    after: _Id | None = Field(description="The pair that was passed over last in this session; null: none was.")


class _LabelRoute(ApiRoute):
    body_code = "invalid_label"


router = APIRouter(prefix="/admin/labels", tags=["admin"], route_class=_LabelRoute, dependencies=[Security(admin_key)])
Workload = Annotated[str, Query(max_length=64, description="The workload.")]
After = Annotated[
    str | None, Query(max_length=32, description="Only pairs after this one, which was passed over; absent: all.")
]


@router.get("", responses=documented(400, 401, 404, 503))
async def next_label(now: Now, workload: Workload = DEFAULT_WORKLOAD, after: After = None) -> LabelState:
    """Show the pair whose label tells most of the student's quality."""
    return await asked(now, lambda: _state(now, workload, after))


@router.post("/{request}", responses=documented(400, 401, 404, 408, 409, 413, 503))
async def put_label(
    request: Annotated[str, Path(max_length=32, description="The ledger's id of the client's request.")],
    said: Verdict,
    now: Now,
    workload: Workload = DEFAULT_WORKLOAD,
) -> LabelState:
    """Store a person's verdict on the pair that was shown, and show the next one."""

    def put() -> LabelState:
        if not labelling.label(now.ledger, now.config, workload, request, said.better, said.after):
            raise RequestError(
                409,
                "Another pair is to be judged first, or this one was judged in the meantime; take the next one.",
                code="not_the_next_pair",
            )
        return _state(now, workload, said.after)

    return await asked(now, put)


def _state(now: Services, workload: str, after: str | None) -> LabelState:
    found = labelling.next_pair(now.ledger, now.config, workload, after)
    asked = found.asked
    return LabelState(
        workload=workload,
        pair=None
        if asked is None
        else AskedPair(request=asked.request, messages=messages(asked.pair), first=found.first, second=found.second),
        waiting=found.waiting,
        verdicts=found.verdicts,
        scorer=found.scorer,
        quality=found.quality,
        hint=found.hint,
    )
