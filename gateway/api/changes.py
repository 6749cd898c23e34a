"""/admin/changes: the history of what routes, and taking back the last change. For holders of the admin key."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Security
from pydantic import Field

from breakeven.gateway.api.errors import documented
from breakeven.gateway.api.policy import change_policy
from breakeven.gateway.api.reading import changed, from_ledger
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.schema import Schema
from breakeven.gateway.api.security import admin_key, who
from breakeven.gateway.errors import RequestError
from breakeven.gateway.ledger.changes import Change
from breakeven.gateway.policy.active import PolicyUpdate
from breakeven.gateway.runtime import promotion, road_change
from breakeven.gateway.runtime.services import Services


class RecordedChange(Schema):
    """One thing that happened to what routes."""

    id: int = Field(description="Its id; later ones have higher ids.")
    at: int = Field(description="When, microseconds since the Unix epoch.")
    who: str = Field(description="Who did it: gateway, console, api or command line.")
    workload: str = Field(description="Its workload; candidate: the next student; empty: all workloads.")
    stage: str = Field(description="The stage after it, the candidate's phase, or policy.")
    text: str = Field(description="What happened, for people.")
    undo: str | None = Field(description="What POST /admin/changes/{id}/undo would do, in words; null: it cannot.")


class RecordedChanges(Schema):
    """What happened, the newest first."""

    changes: list[RecordedChange] = Field(description="To read on, send `next_before` as `before`.")
    next_before: int | None = Field(description="The id that older ones are below; null: there are none.")


router = APIRouter(prefix="/admin/changes", tags=["admin"], route_class=ApiRoute, dependencies=[Security(admin_key)])


@router.get("", responses=documented(400, 401, 404, 503))
async def list_changes(
    now: Now,
    limit: Annotated[int, Query(ge=1, le=500, description="At most so many.")] = 50,
    before: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only those with lower ids.")] = None,
) -> RecordedChanges:
    """List who changed what routes, and when: the gateway by itself, or an operator."""
    found = await from_ledger(now, lambda: now.ledger.changes.newest(limit, before))
    return RecordedChanges(
        changes=[_recorded(now, one) for one in found], next_before=found[-1].id if len(found) == limit else None
    )


@router.post("/{id}/undo", responses=documented(400, 401, 404, 409, 500, 503))
async def undo_change(
    id: Annotated[int, Path(ge=0, le=2**31 - 1, description="The id of the change.")], request: Request, now: Now
) -> RecordedChange:
    """Take back a change, if nothing has happened to its workload since. Returns the entry that this makes."""
    found = await from_ledger(now, lambda: now.ledger.changes.newest(1, id=id))
    if not found:
        raise RequestError(404, "There is no change with this id.", param="id", code="change_not_found")
    if _undo(now, found[0]) is None:
        raise RequestError(
            409,
            "This change cannot be undone: it was no operator's, or something else has happened since.",
            code="nothing_to_undo",
        )
    undo = json.loads(found[0].event.undo or "{}")
    if undo["kind"] == "policy":
        update = None if undo["policy"] is None else PolicyUpdate.model_validate(undo["policy"])
        await change_policy(now, update, who(request))
    else:
        await _say(now, found[0], undo, who(request))
    newest = await from_ledger(now, lambda: now.ledger.changes.newest(1))
    return _recorded(now, newest[0])


async def _say(now: Services, one: Change, undo: dict[str, str], by: str) -> None:
    def change() -> None:
        if undo["kind"] == "candidate":
            promotion.say(now.ledger, now.given, "rollback", by)
        else:
            word: road_change.Word = "apply" if undo["word"] == "apply" else "rollback"
            road_change.say(now.ledger.road, one.event.workload, word, by)

    await changed(now, change)


def _recorded(now: Services, one: Change) -> RecordedChange:
    event = one.event
    return RecordedChange(
        id=one.id,
        at=event.at,
        who=event.who,
        workload=event.workload,
        stage=event.stage,
        text=event.text,
        undo=_undo(now, one),
    )


def _undo(now: Services, one: Change) -> str | None:
    """What undoing does, in words; None where it cannot be."""
    if one.event.undo is None or not one.newest:
        return None
    undo = json.loads(one.event.undo)
    if undo["kind"] == "policy":
        policy = undo["policy"]
        if policy is None:
            return "remove the policy, so that the config or the stages decide again"
        if policy["artifact"] != now.artifact.hash:
            return None
        return f"route all workloads by threshold {policy['threshold']:.4g} again"
    if undo["kind"] == "candidate":
        return "make the student of before the student again"
    if now.operator_routes:
        return None
    return "roll back to what was in force before" if undo["word"] == "rollback" else "put it in force again"
