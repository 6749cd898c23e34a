"""The routes that read the gateway's state and call no upstream: models, health, readiness, metrics."""

from __future__ import annotations

import asyncio
import importlib.metadata
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response, Security
from fastapi.responses import PlainTextResponse
from prometheus_client.exposition import choose_encoder
from pydantic import Field

from breakeven.gateway.api.errors import documented, error_content
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.schema import Schema
from breakeven.gateway.api.security import OPTIONAL, client_key, metrics_key
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.errors import Cause
from breakeven.gateway.policy import model_names
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Route


class Model(Schema):
    """A name that a request may send as `model`."""

    id: str = Field(description="The name.")
    object: Literal["model"] = "model"
    created: int = Field(0, description="Seconds since the Unix epoch; always 0, names have no date.")
    owned_by: str = Field("breakeven", description="Always breakeven.")


class ModelList(Schema):
    """All names that a request may send as `model`, apart from `auto@` with a threshold."""

    object: Literal["list"] = "list"
    data: list[Model] = Field(description="One entry for each name.")


class Health(Schema):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class Version(Schema):
    """The gateway's version."""

    version: str = Field(description="As of the installed package.")


class FallbackState(Schema):
    """The state of one of the teacher's fallbacks."""

    name: str = Field(description="Its name.")
    state: Literal["up", "failing", "down", "unknown"] = Field(description="As for the student.")
    cause: Cause | None = Field(description="As for the student.")


class Readiness(Schema):
    """Whether the gateway takes requests, and the state of what it needs for them."""

    status: Literal["ready", "draining", "both upstreams are down"] = Field(
        description="Anything but ready comes with HTTP status 503; draining: the process is shutting down."
    )
    student: Literal["up", "failing", "down", "unknown", "not configured"] = Field(
        description="up: it answered the last request (429 counts); failing: that failed; down: its circuit "
        "breaker is open; unknown: this process has sent it no request yet."
    )
    teacher: Literal["up", "failing", "down", "unknown"] = Field(description="As for the student.")
    student_cause: Cause | None = Field(
        description="Why its last request failed, or why it could not be reached at the start; null: neither did."
    )
    teacher_cause: Cause | None = Field(description="As for the student.")
    teacher_fallbacks: list[FallbackState] = Field(
        description="The teacher's fallbacks in order; while one of them is not down, the gateway is ready."
    )
    router: str = Field(description="Hash of the router artifact, 12 hex digits.")
    ledger: Literal["up", "away"] = Field(
        description="away: its database cannot be used; requests are answered and kept in the journal until it can."
    )
    config: Literal["in force", "wrong, the one before stays"] = Field(
        description="Whether the config file as it is now is in use, or was rejected at the last reload."
    )
    config_faults: list[str] = Field(description="Why it was rejected, one line for each fault.")


router = APIRouter(tags=["status"], route_class=ApiRoute)


Key = Annotated[ClientKey | None, Security(client_key)]


@router.get("/v1/models", responses=documented(401), openapi_extra=OPTIONAL)
async def list_models(now: Now, key: Key) -> ModelList:
    """List the model names that the key may use."""
    return ModelList(data=[Model(id=name) for name in model_names.names(now.config, key)])


@router.get(
    "/v1/models/{name:path}",
    responses=documented(400, 401, 403, 404),
    openapi_extra=OPTIONAL,
)
async def get_model(
    name: Annotated[str, Path(description="What a request would send as `model`.")], now: Now, key: Key
) -> Model:
    """Look up one model name; `auto@0.35` is one, too."""
    model_names.resolve(name, now.config, key)
    return Model(id=name)


@router.get("/healthz", responses=documented())
async def healthz() -> Health:
    """Whether the process is alive."""
    return Health()


@router.get("/health", responses=documented())
async def health() -> Health:
    """The same as /healthz, at the path that vLLM and its tools have."""
    return Health()


@router.get("/ping", responses=documented())
async def ping() -> Health:
    """The same as /healthz, at the path that SageMaker's hosts ask."""
    return Health()


@router.get("/version", responses=documented())
async def version() -> Version:
    """The version of this gateway."""
    return Version(version=importlib.metadata.version("breakeven"))


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Send requests elsewhere."}, **documented()})
async def readyz(now: Now, response: Response) -> Readiness:
    """Whether the gateway takes requests: 503 while it is shutting down, and while both upstreams are down."""
    upstreams = now.upstreams
    # Further models are not what the gateway is for.
    routed = (*upstreams.values(), *now.fallbacks)
    ready = not now.state.draining and not all(upstream.breaker.open for upstream in routed)
    response.status_code = 200 if ready else 503
    return Readiness(
        status="draining" if now.state.draining else "ready" if ready else "both upstreams are down",
        student=upstreams[Route.STUDENT].health.state if Route.STUDENT in upstreams else "not configured",
        teacher=upstreams[Route.TEACHER].health.state,
        student_cause=_cause(upstreams.get(Route.STUDENT)),
        teacher_cause=_cause(upstreams.get(Route.TEACHER)),
        teacher_fallbacks=[
            FallbackState(name=one.provider, state=one.health.state, cause=_cause(one)) for one in now.fallbacks
        ],
        router=now.artifact.hash,
        ledger="up" if now.ledger.away is None else "away",
        config="in force" if not now.state.config_faults else "wrong, the one before stays",
        config_faults=list(now.state.config_faults),
    )


def _cause(upstream: Upstream | None) -> Cause | None:
    return None if upstream is None or upstream.health.failure is None else upstream.health.failure.cause


@router.get(
    "/metrics",
    dependencies=[Depends(metrics_key)],
    response_class=PlainTextResponse,
    responses={
        200: {"content": {"application/openmetrics-text": {"schema": {"type": "string"}}}},
        "default": error_content(),
    },
)
async def metrics(request: Request, now: Now) -> Response:
    """The metrics in the format of Prometheus, or of OpenMetrics where `accept` asks for it.

    With a key where `admin.metrics_key_env` names one.
    """
    now.metrics.flush()
    now.server_metrics.read()
    now.metrics.tasks.set(len(asyncio.all_tasks()))
    encode, content_type = choose_encoder(request.headers.get("accept", ""))

    return Response(await asyncio.to_thread(encode, now.registry), media_type=content_type)
