"""create_app(config) -> FastAPI; the lifespan builds one typed Services object."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path as File

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.exposition import choose_encoder
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route as Path

from gateway import naming
from gateway.admin import admin_router
from gateway.auth import client_key
from gateway.config import Config
from gateway.console import console_router
from gateway.endpoints.chat import ChatCompletions, Completions
from gateway.endpoints.embeddings import Embeddings
from gateway.endpoints.responses import Responses
from gateway.errors import RequestError
from gateway.feedback import feedback_router
from gateway.ledger import Ledger
from gateway.openapi import document
from gateway.reference import HEADERS
from gateway.relay import Relay
from gateway.reload import Current
from gateway.services import Services
from router.artifact import Artifact
from router.policy import Route

_ADAPTERS = (ChatCompletions, Completions, Responses, Embeddings)


def create_app(
    config: Config,
    artifact: Artifact,
    ledger: Ledger,
    read: Callable[[], Config] | None = None,
    path: File | None = None,
) -> FastAPI:
    """The gateway as an ASGI app. The ledger is closed when the app ends.

    With `read` the config is read again when its file, `path`, changes or `app.state.current.ask()` is called.
    """
    current = Current(Services.build(config, artifact, ledger), read, path)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for upstream in current().upstreams.values():
            await upstream.start()
        quotas = current().state.quotas
        beside = [
            current.watch(),
            current.learn_context_window(),
            quotas.run(lambda: current().config.auth.keys),
            current().state.prompts.run(),
            _compare(current),
        ]
        publisher = current().publisher
        if publisher is not None:
            beside.append(publisher.run())
        tasks = [asyncio.create_task(work) for work in beside]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await current.aclose()
            quotas.close()
            await asyncio.to_thread(ledger.close)

    app = FastAPI(
        title="Breakeven",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            HTTPException: _http_error,
            RequestError: _request_error,
            RequestValidationError: _invalid,
            Exception: _failed,
        },
    )
    app.state.current = current
    relays = {f"/v1{adapter.path}": Relay(adapter(), current) for adapter in _ADAPTERS}
    app.router.routes.extend(Path(path, relay) for path, relay in relays.items())
    # A server may take these paths straight to their relay, past the layers that only other paths need.
    app.state.relays = {} if config.server.cors_origins else relays
    app.openapi = lambda: document(app, _ADAPTERS)  # type: ignore[method-assign]
    _add_readings(app, current)
    app.include_router(admin_router(current))
    app.include_router(feedback_router(current))
    app.include_router(console_router())
    if config.server.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.server.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=[name for name, _ in HEADERS],
        )
    return app


def _add_readings(app: FastAPI, current: Current) -> None:
    """The routes that read the gateway's state and call no upstream."""

    @app.get("/v1/models")
    async def models(request: Request) -> JSONResponse:
        client_key(current().keys, request.headers.get("authorization"))
        return JSONResponse(naming.listing(current().config))

    @app.get("/v1/models/{name:path}")
    async def model(name: str, request: Request) -> JSONResponse:
        client_key(current().keys, request.headers.get("authorization"))
        naming.resolve(name, current().config)
        return JSONResponse({"id": name, "object": "model", "created": 0, "owned_by": "breakeven"})

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz")
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

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        services = current()
        services.metrics.flush()
        services.metrics.tasks.set(len(asyncio.all_tasks()))
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # Settled requests that are still on their way to the database belong in the numbers.
        body = await asyncio.to_thread(lambda: (services.ledger.flush(2.0), encode(services.registry))[1])
        return Response(body, media_type=content_type)


async def _compare(current: Current) -> None:
    """Shadow traffic, until cancelled. What it takes is not loaded before there is any."""
    await current().state.drawn.first()
    from gateway.shadow.shadow import Shadow

    await Shadow(current().ledger).run(current)


async def _request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return Response(error.body(), error.status, {"content-type": "application/json", **error.headers})


async def _failed(request: Request, _: Exception) -> Response:
    error = RequestError(500, "The gateway failed.", type="server_error", code="gateway_error")
    return await _request_error(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    name = str(fault["loc"][-1])
    return await _request_error(
        request, RequestError(400, f"{name}: {fault['msg']}", param=name, code="invalid_parameter")
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    texts = {
        404: ("There is nothing at this path.", "not_found"),
        405: ("This method is not allowed here.", "method_not_allowed"),
    }
    message, code = texts.get(error.status_code, ("The request cannot be served.", None))
    shaped = RequestError(error.status_code, message, code=code, headers=error.headers)
    return await _request_error(request, shaped)
