"""/admin/upstreams: how each upstream is doing, and why its calls failed. For holders of the admin key."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Security
from pydantic import Field

from breakeven.gateway.api.errors import documented
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.schema import Schema
from breakeven.gateway.api.security import admin_key
from breakeven.gateway.errors import Cause
from breakeven.gateway.upstreams.causes import ADVICE
from breakeven.gateway.upstreams.health import Failure
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Capabilities, Route


class LastFailure(Schema):
    """Why the last call to an upstream failed."""

    cause: Cause = Field(description="Its name, as in `breakeven_upstream_failures_total`.")
    meaning: str = Field(description="What that means.")
    remedy: str = Field(description="What to do.")
    detail: str = Field(description="What the network or TLS library said; empty: nothing more.")
    at: int = Field(description="When, microseconds since the Unix epoch.")
    status: int | None = Field(description="HTTP status of the upstream; null: no answer.")
    upstream_request_id: str | None = Field(description="What the upstream calls the call; null: it did not say.")


class FailureCount(Schema):
    """How many calls to an upstream failed for one cause."""

    cause: Cause = Field(description="The cause.")
    count: int = Field(ge=1, description="Since the process that answers this started, or its config changed.")


class UpstreamState(Schema):
    """How one upstream is doing, as the process that answers this sees it."""

    upstream: Route = Field(description="Its role; model: a further model.")
    provider: str = Field(
        description="Its name among the teacher's fallbacks, or that of the further model; empty: the first one of its "
        "role."
    )
    model: str = Field(description="Name of its model at the upstream.")
    state: Literal["up", "failing", "down", "unknown"] = Field(
        description="up: it answered the last request (429 counts); failing: that failed; down: its circuit "
        "breaker is open; unknown: no request was sent to it yet."
    )
    retry_seconds: float = Field(ge=0, description="While it is down: seconds until it is tried again; else 0.")
    in_flight: int = Field(ge=0, description="Attempts that are running.")
    context_window: int | None = Field(description="Tokens of prompt and answer together; null: not known.")
    last_failure: LastFailure | None = Field(
        description="Of its last call, or of the one that was to reach it at the start; null: that was answered."
    )
    failures: list[FailureCount] = Field(description="Failed calls by cause, the most frequent first.")


class UpstreamStates(Schema):
    """The upstreams that are configured."""

    upstreams: list[UpstreamState] = Field(
        description="The student, if there is one, the teacher with its fallbacks, and the further models."
    )


router = APIRouter(prefix="/admin", tags=["admin"], route_class=ApiRoute, dependencies=[Security(admin_key)])


@router.get("/upstreams", responses=documented(401, 404))
async def list_upstreams(now: Now) -> UpstreamStates:
    """Say how each upstream is doing, and why its last call failed."""
    return UpstreamStates(upstreams=[_state(upstream, now.student) for upstream in now.every_upstream.values()])


def _state(upstream: Upstream, student: Capabilities | None) -> UpstreamState:
    health = upstream.health
    window = upstream.reported.context_window if upstream.reported is not None else None
    if upstream.route is Route.STUDENT and not upstream.provider and student is not None:
        window = student.context_window
    return UpstreamState(
        upstream=upstream.route,
        provider=upstream.provider,
        model=upstream.config.model,
        state=health.state,
        retry_seconds=upstream.breaker.retry_after_seconds(),
        in_flight=upstream.in_flight,
        context_window=window,
        last_failure=None if health.failure is None else _failure(health.failure),
        failures=[FailureCount(cause=cause, count=count) for cause, count in health.failures.most_common()],
    )


def _failure(failure: Failure) -> LastFailure:
    advice = ADVICE[failure.cause]
    return LastFailure(
        cause=failure.cause,
        meaning=advice.meaning,
        remedy=advice.remedy,
        detail=failure.detail,
        at=failure.at,
        status=failure.status,
        upstream_request_id=failure.request_id,
    )
