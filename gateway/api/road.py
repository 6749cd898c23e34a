"""/admin/road: where each workload is, and the operator's word on it. For holders of the admin key."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Security
from pydantic import Field

from breakeven.gateway.api.errors import documented
from breakeven.gateway.api.judge_schemas import Estimate, JudgeState
from breakeven.gateway.api.reading import asked, changed
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.schema import Schema, Share
from breakeven.gateway.api.security import admin_key, who
from breakeven.gateway.errors import RequestError
from breakeven.gateway.ledger.road import Event
from breakeven.gateway.reports.road import Position, position, positions
from breakeven.gateway.road.stages import Stage
from breakeven.gateway.runtime.road_change import Word, say
from breakeven.gateway.runtime.services import Services

Microseconds = Annotated[int, Field(description="Microseconds since the Unix epoch.")]


class Confirmation(Schema):
    """What pairs that people judged say of the scorer of answers."""

    scorer: str = Field(description="The scorer in words.")
    pairs: int = Field(description="Pairs that people judged.")
    agreement: Estimate = Field(description="Share of them of which the scorer says the same.")
    bias: Estimate = Field(description="How much kinder to the student the scorer is, in its own scores.")
    confirmed: bool | None = Field(
        description="Whether people confirm it for the floor; false: the stage does not advance; null: too few pairs."
    )


class CorrectedEstimate(Estimate):
    """A share that people's verdicts corrected."""

    verdicts: int = Field(description="Verdicts of people that it rests on.")


class Promise(Schema):
    """What goes live as one unit, and what was measured of it."""

    artifact: str = Field(description="Hash of the router artifact, 12 hex digits.")
    threshold: float = Field(
        description="A score at or above it goes to the teacher; each artifact has a scale of its own, see `share`."
    )
    share: Share | None = Field(
        description="Share of the measured requests with a score below the threshold; null: it was not kept then."
    )
    limit: float | None = Field(
        description="The student's answer is discarded where the mean log-probability of its first tokens is below it; "
        "null: no escalation."
    )
    answered: Share = Field(description="Share of the requests whose answer is the student's.")
    retention: float = Field(description="The quality that was kept, as a share of the teacher's.")
    low: float = Field(description="What it is at least, with the confidence of the config.")
    comparisons: int = Field(description="How many comparisons that rests on.")
    at: Microseconds
    student: str = Field(description="Version of the student that was compared.")
    teacher: str = Field(description="Version of the teacher.")
    floor: float = Field(description="The floor that it is certified for.")
    bill: float | None = Field(description="Share of the teacher's bill that is then not paid; null: not known.")


class WorkloadState(Schema):
    """Where one workload is."""

    workload: str = Field(description="Its name.")
    stage: Stage = Field(
        description="observe: the teacher answers, and the student is measured beside it; propose: a proposal waits; "
        "route: what was proposed is in force; watch: and comparisons say that the floor is kept."
    )
    since: int | None = Field(description="When the stage began, microseconds since the Unix epoch; null: always.")
    why: str = Field(description="What made the stage, for people.")
    held: str | None = Field(description="What keeps it from going on; null: nothing.")
    routed_by_operator: bool = Field(
        description="Whether the config's artifact or threshold, or PUT /admin/policy, says what routes, and no stage."
    )
    student: str = Field(description="Version of the student; empty: not known yet.")
    teacher: str = Field(description="Version of the teacher.")
    comparisons: int = Field(ge=0, description="Comparisons that count: of these versions, since the last change.")
    next_look_at: int = Field(description="Comparisons at which the next router is trained.")
    missing: int | None = Field(description="About how many more would allow `would_answer`; null: not known.")
    would_answer: Share | None = Field(description="A larger share of the requests.")
    retention: Estimate | None = Field(
        description="Quality of the student's answers to all these requests, as a share of the teacher's; null: not "
        "measured."
    )
    corrected: CorrectedEstimate | None = Field(
        description="That quality as people's verdicts correct it; null: fewer than 20 verdicts."
    )
    judges: list[JudgeState] = Field(description="The judges that scored; empty where a checker does.")
    margin: float | None = Field(
        description="The quality kept since it went live, less the floor; null: not measured yet."
    )
    trust: Confirmation | None = Field(description="How far the scorer can be trusted; null: nobody judged a pair.")
    in_force: Promise | None = Field(description="What routes; null: nothing.")
    starts_with_share: Share | None = Field(
        description="Share of the requests that goes to the teacher while nothing is in force, with `routing.start: "
        "share`; null: all of them."
    )
    previous: Promise | None = Field(description="What a rollback puts in force; null: the teacher for everything.")
    proposal: Promise | None = Field(description="What waits for `apply`; null: nothing.")
    proposal_saves_usd_per_month: float | None = Field(
        description="What the proposal would save of the teacher's bill; null: not measured."
    )


class HappenedEvent(Schema):
    """One thing that happened on the way."""

    at: Microseconds
    workload: str = Field(description="Its workload; empty: all of them.")
    stage: str = Field(
        description="The stage after it; policy: the operator's policy changed; unknown: clients name a workload "
        "that the config does not have."
    )
    text: str = Field(description="What happened, for people.")
    who: str = Field(description="Who did it: gateway, console, api or command line.")


class RoadState(Schema):
    """Where all workloads are."""

    workloads: list[WorkloadState] = Field(description="Those of the config, and those that were compared.")
    events: list[HappenedEvent] = Field(description="What happened, newest first.")


router = APIRouter(prefix="/admin/road", tags=["admin"], route_class=ApiRoute, dependencies=[Security(admin_key)])


@router.get("", responses=documented(401, 404, 503))
async def get_road(
    now: Now, limit: Annotated[int, Query(ge=0, le=1000, description="At most so many events.")] = 50
) -> RoadState:
    """Say where each workload is, and what has happened."""

    def read() -> RoadState:
        found = positions(now.ledger, now.config, _now(), operator=now.operator_routes)
        happened = now.ledger.road.events(limit=limit)
        return RoadState(workloads=[_state(now, one) for one in found], events=[_event(one) for one in happened])

    return await asked(now, read)


@router.post("/{workload}/apply", responses=documented(401, 404, 409, 503))
async def apply(
    workload: Annotated[str, Path(description="The workload.")], request: Request, now: Now
) -> WorkloadState:
    """Put the proposal of a workload in force."""
    return await _say(now, workload, "apply", who(request))


@router.post("/{workload}/rollback", responses=documented(401, 404, 409, 503))
async def rollback(
    workload: Annotated[str, Path(description="The workload.")], request: Request, now: Now
) -> WorkloadState:
    """Put in force what was before; without any, the teacher answers everything."""
    return await _say(now, workload, "rollback", who(request))


async def _say(now: Services, workload: str, word: Word, by: str) -> WorkloadState:
    """Say it, as who is `by`. Raises RequestError 409, 503."""
    if now.operator_routes:
        raise RequestError(
            409,
            "The config's artifact or threshold, or the policy set through the admin API, says what routes; remove it.",
            code="routed_by_operator",
        )

    def change() -> Position:
        state = say(now.ledger.road, workload, word, by)
        return position(now.ledger, now.config, state, _now(), operator=False)

    return _state(now, await changed(now, change))


def _state(now: Services, one: Position) -> WorkloadState:
    routing = now.config.routing
    begins = {"starts_with_share": routing.teacher_share if routing.start == "share" else None}
    return WorkloadState.model_validate(one.to_dict() | begins, strict=False)


def _event(one: Event) -> HappenedEvent:
    return HappenedEvent(at=one.at, workload=one.workload, stage=one.stage, text=one.text, who=one.who)


def _now() -> int:
    return time.time_ns() // 1000
