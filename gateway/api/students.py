"""/admin/students: the versions of the student that were compared, and how each one did."""

from __future__ import annotations

from fastapi import APIRouter, Security
from pydantic import Field

from breakeven.gateway.accounting.record import CANDIDATE
from breakeven.gateway.api.errors import documented
from breakeven.gateway.api.judge_schemas import Estimate
from breakeven.gateway.api.reading import from_ledger
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.schema import Schema
from breakeven.gateway.api.security import admin_key
from breakeven.gateway.reports.versions import Version, versions


class StudentVersion(Schema):
    """One version of the student, or of a candidate for it, in one workload."""

    workload: str = Field(description="The workload.")
    version: str = Field(description="Served name and revision; empty: not known.")
    candidate: bool = Field(description="Whether it was compared as the candidate, and not as the student.")
    in_force: bool = Field(description="Whether it is the student of the workload now.")
    comparisons: int = Field(ge=0, description="Its comparisons among the newest 20,000 of all.")
    first: int = Field(description="When the first of them was, microseconds since the Unix epoch.")
    last: int = Field(description="When the last one was.")
    retention: Estimate | None = Field(
        description="Quality of its answers as a share of the teacher's; null: fewer than 30 comparisons."
    )


class StudentVersions(Schema):
    """Versions that were compared."""

    versions: list[StudentVersion] = Field(description="The one compared last comes first.")


router = APIRouter(prefix="/admin", tags=["admin"], route_class=ApiRoute, dependencies=[Security(admin_key)])


@router.get("/students", responses=documented(401, 404, 503))
async def list_students(now: Now) -> StudentVersions:
    """Say which versions of the student were compared, and how much of the teacher's quality each one keeps."""
    return StudentVersions(versions=[_version(one) for one in await from_ledger(now, lambda: versions(now.ledger))])


def _version(one: Version) -> StudentVersion:
    of, kept = one.of, one.retention
    return StudentVersion(
        workload=of.workload,
        version=of.version,
        candidate=of.source == CANDIDATE,
        in_force=one.in_force,
        comparisons=of.comparisons,
        first=of.first,
        last=of.last,
        retention=None if kept is None else Estimate(value=kept.value, low=kept.low, high=kept.high),
    )
