"""/admin/candidate: what is known of the next student, and the operator's word on it. For holders of the admin key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Security
from pydantic import Field

from breakeven.gateway.api.errors import documented, ledger_unavailable
from breakeven.gateway.api.judge_schemas import Estimate
from breakeven.gateway.api.reading import changed
from breakeven.gateway.api.road import Promise
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.schema import Schema
from breakeven.gateway.api.security import admin_key, who
from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.reports.candidate import Standing, standing
from breakeven.gateway.road.candidate import Phase
from breakeven.gateway.runtime.promotion import Word, known_experiment, say
from breakeven.gateway.runtime.services import Services


class OfWorkload(Schema):
    """What was compared of one workload."""

    workload: str = Field(description="Its name.")
    comparisons: int = Field(description="Requests of which answers of both were compared.")
    difference: Estimate = Field(description="Candidate less student, in scores; the interval holds at all moments.")


class OwnRouter(Schema):
    """The router that goes in force with the candidate."""

    workload: str = Field(description="Its workload.")
    proposal: Promise = Field(description="What was certified.")


class CandidateState(Schema):
    """What is known of the candidate."""

    candidate: str | None = Field(description="Its version; null: there is none.")
    student: str | None = Field(description="The version of the student that it was compared with; null: none yet.")
    teacher: str | None = Field(description="The version of the teacher; null: none yet.")
    phase: Phase | None = Field(
        description="comparing: neither better nor worse so far; better: it waits for `promote`; promoted: it is the "
        "student; dropped: it is asked no longer; null: nothing was compared yet."
    )
    since: int | None = Field(description="When the phase began, microseconds since the Unix epoch.")
    why: str = Field(description="What made the phase, for people.")
    waits: str | None = Field(description="What keeps it from being compared; null: nothing.")
    comparisons: int = Field(ge=0, description="Requests of which answers of both were compared.")
    difference: Estimate | None = Field(
        description="Candidate less student, in scores, with an interval that holds at all moments together; null: "
        "nothing was compared yet."
    )
    workloads: list[OfWorkload] = Field(description="The same for each workload.")
    routers: list[OwnRouter] = Field(description="The routers that go in force with it.")
    config: str | None = Field(description="What is to be written into the config; null: nothing.")


router = APIRouter(prefix="/admin/candidate", tags=["admin"], route_class=ApiRoute, dependencies=[Security(admin_key)])


@router.get("", responses=documented(401, 404, 503))
async def get_candidate(now: Now) -> CandidateState:
    """Say what is known of the candidate for the next student."""
    try:
        return await now.ledger.ask(lambda: _read(now))
    except BreakevenError:
        raise ledger_unavailable() from None


@router.post("/promote", responses=documented(401, 404, 409, 503))
async def promote(
    request: Request,
    now: Now,
    anyway: Annotated[bool, Query(description="Although it is not shown to be better.")] = False,
) -> CandidateState:
    """Make the candidate the student, with the routers of its own."""
    return await _say(now, "promote", who(request), anyway=anyway)


@router.post("/drop", responses=documented(401, 404, 409, 503))
async def drop(request: Request, now: Now) -> CandidateState:
    """Ask the candidate no longer."""
    return await _say(now, "drop", who(request))


@router.post("/rollback", responses=documented(401, 404, 409, 503))
async def rollback_candidate(request: Request, now: Now) -> CandidateState:
    """Make the student of before the student again, with the routers that were in force then."""
    return await _say(now, "rollback", who(request))


async def _say(now: Services, word: Word, by: str, *, anyway: bool = False) -> CandidateState:
    def change() -> CandidateState:
        say(now.ledger, now.given, word, by, anyway=anyway)
        return _read(now)

    return await changed(now, change)


def _read(now: Services) -> CandidateState:
    return _state(standing(now.ledger, now.given, known_experiment(now.ledger)))


def _state(one: Standing) -> CandidateState:
    return CandidateState.model_validate(one.to_dict(), strict=False)
