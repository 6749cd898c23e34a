"""The routes that read the gateway's state and call no upstream: models, health, readiness, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.exposition import choose_encoder

from breakeven.gateway.limits.keys import client_key
from breakeven.gateway.policy import model_names
from breakeven.gateway.runtime.services import Services
from breakeven.router.policy import Route


def status_router(current: Callable[[], Services]) -> APIRouter:
    """The routes, as of the services in force."""
    router = APIRouter()

    @router.get("/v1/models")
    async def models(request: Request) -> JSONResponse:
        client_key(current().keys, request.headers.get("authorization"))
        return JSONResponse(model_names.listing(current().config))

    @router.get("/v1/models/{name:path}")
    async def model(name: str, request: Request) -> JSONResponse:
        client_key(current().keys, request.headers.get("authorization"))
        model_names.resolve(name, current().config)
        return JSONResponse({"id": name, "object": "model", "created": 0, "owned_by": "breakeven"})

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        services = current()
        upstreams = {route: not upstream.breaker.open for route, upstream in services.upstreams.items()}
        ready = not services.state.draining and any(upstreams.values())
        return JSONResponse(
            {
                "status": "draining" if services.state.draining else "ready" if ready else "both upstreams are down",
                "student": "up" if upstreams[Route.STUDENT] else "down",
                "teacher": "up" if upstreams[Route.TEACHER] else "down",
                "router": services.artifact.hash,
                "config": "in force" if not services.state.config_faults else "wrong, the one before stays",
                "config_faults": services.state.config_faults,
            },
            200 if ready else 503,
        )

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        services = current()
        services.metrics.flush()
        services.metrics.tasks.set(len(asyncio.all_tasks()))
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # Settled requests that are still on their way to the database belong in the numbers.
        body = await asyncio.to_thread(lambda: (services.ledger.flush(2.0), encode(services.registry))[1])
        return Response(body, media_type=content_type)

    return router
