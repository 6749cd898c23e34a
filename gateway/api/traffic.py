"""/admin/decisions, /admin/requests and /admin/series: what was routed, one by one and over time."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Security

from breakeven.gateway.accounting.money import PICODOLLARS, exact
from breakeven.gateway.api.admin_schemas import RecordedDecisions
from breakeven.gateway.api.decisions import explained_request, recorded
from breakeven.gateway.api.errors import documented, ledger_unavailable
from breakeven.gateway.api.reading import Before, Since, Until, from_ledger
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.security import admin_key
from breakeven.gateway.api.traffic_schemas import (
    AttemptMade,
    FeedbackGiven,
    RequestDetails,
    Series,
    SeriesPoint,
)
from breakeven.gateway.errors import Cause, LedgerError, RequestError
from breakeven.gateway.ledger.decisions import Wanted
from breakeven.gateway.reports.series import series
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.causes import ADVICE

_FLUSH_SECONDS = 2.0


class _TrafficRoute(ApiRoute):
    body_code = "invalid_feedback"


router = APIRouter(prefix="/admin", tags=["admin"], route_class=_TrafficRoute, dependencies=[Security(admin_key)])

Id = Annotated[str, Path(max_length=128, description="The ledger's id of the request, or the answer's x-request-id.")]


@router.get("/decisions", responses=documented(400, 401, 404, 503))
async def list_decisions(
    now: Now,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
    before: Before = None,
    since: Since = None,
    key: Annotated[str | None, Query(description="Only those of this client key; empty: those without one.")] = None,
    workload: Annotated[str | None, Query(description="Only those of this workload.")] = None,
    route: Annotated[str | None, Query(description="Only those decided for this upstream, such as student.")] = None,
    reason: Annotated[str | None, Query(description="Only those with this reason, such as difficult.")] = None,
    outcome: Annotated[str | None, Query(description="Only those that ended so, such as ok.")] = None,
) -> RecordedDecisions:
    """List settled requests, the newest first."""
    wanted = Wanted(since, before, key, workload, route, reason, outcome)
    return await from_ledger(now, lambda: recorded(now, limit, wanted))


@router.get("/requests/{id}", responses=documented(401, 404, 503))
async def get_request(id: Id, now: Now) -> RequestDetails:
    """Say all that is known of one settled request: why it went where it went, its attempts, and their cost."""
    return await from_ledger(now, lambda: _details(now, id))


@router.post("/requests/{id}/feedback", responses=documented(400, 401, 404, 408, 413, 503))
async def rate_request(id: Id, given: FeedbackGiven, now: Now) -> RequestDetails:
    """Score the answer to a request, as its user might with POST /v1/feedback; a later score replaces it."""

    def store() -> RequestDetails:
        now.ledger.flush(_FLUSH_SECONDS)
        found = now.ledger.inspection.request(id)
        about = None if found is None else now.ledger.feedback(found.row["id"], found.row["key"], given.score)
        if about is None:
            raise _unknown()
        now.metrics.feedback.labels(about.route).inc()
        return _details(now, id)

    try:
        return await now.ledger.ask(store)
    except LedgerError:
        raise ledger_unavailable("written") from None


@router.get("/series", responses=documented(400, 401, 404, 503))
async def get_series(now: Now, since: Since = None, until: Until = None) -> Series:
    """Count requests by who answered them, and what the teacher was paid, by the hour or day."""

    def read() -> Series:
        found = series(now.ledger, time.time_ns() // 1000, since, until)
        points = [
            SeriesPoint(
                at=at, student=one.student, teacher=one.teacher, other=one.other, teacher_usd=one.paid / PICODOLLARS
            )
            for at, one in found.points.items()
        ]
        return Series(step=found.step, points=points, keys=found.keys, workloads=found.workloads)

    return await from_ledger(now, read)


def _details(now: Services, id: str) -> RequestDetails:
    found = now.ledger.inspection.request(id)
    if found is None:
        raise _unknown()
    request, why = explained_request(now, found.row, found.text)
    return RequestDetails(
        request=request,
        why=why,
        attempts=[_attempt(one) for one in found.attempts],
        feedback=found.feedback,
        compared=bool(now.ledger.inspection.compared(1, request=found.row["id"])),
    )


def _attempt(row: dict[str, Any]) -> AttemptMade:
    money = {
        "cost_usd": exact(int(row["cost"])),
        "estimated_cost_usd": exact(int(row["cost_estimated"])),
    }
    known = row["cause"] in {one.value for one in Cause} and Cause(row["cause"]) in ADVICE
    meaning = ADVICE[Cause(row["cause"])].meaning if known else None
    rest = {name: row[name] for name in AttemptMade.model_fields if name in row}
    return AttemptMade.model_validate(rest | money | {"meaning": meaning})


def _unknown() -> RequestError:
    return RequestError(
        404,
        "There is no request with this id in the ledger; raw rows are removed after ledger.keep_days or keep_hours.",
        param="id",
        code="request_not_found",
    )
