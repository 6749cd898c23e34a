"""create_app(config) -> FastAPI; the lifespan builds one typed Services object."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path as File

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route as Path

from breakeven.gateway.api.admin import admin_router
from breakeven.gateway.api.console import console_router
from breakeven.gateway.api.errors import HANDLERS
from breakeven.gateway.api.feedback import feedback_router
from breakeven.gateway.api.openapi import document
from breakeven.gateway.api.status import status_router
from breakeven.gateway.config.schema import Config
from breakeven.gateway.endpoints.chat import ChatCompletions, Completions
from breakeven.gateway.endpoints.embeddings import Embeddings
from breakeven.gateway.endpoints.responses import Responses
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.proxy.handler import Relay
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.server.reload import Current
from breakeven.gateway.wire.headers import HEADERS
from breakeven.router.model.artifact import Artifact

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
        exception_handlers=HANDLERS,
    )
    app.state.current = current
    relays = {f"/v1{adapter.path}": Relay(adapter(), current) for adapter in _ADAPTERS}
    app.router.routes.extend(Path(path, relay) for path, relay in relays.items())
    # A server may take these paths straight to their relay, past the layers that only other paths need.
    app.state.relays = {} if config.server.cors_origins else relays
    app.openapi = lambda: document(app, _ADAPTERS)  # type: ignore[method-assign]
    app.include_router(status_router(current))
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


async def _compare(current: Current) -> None:
    """Shadow traffic, until cancelled. What it takes is not loaded before there is any."""
    await current().state.drawn.first()
    from breakeven.gateway.shadow.worker import Shadow

    await Shadow(current().ledger).run(current)
