"""create_app(config) -> FastAPI; the lifespan starts and ends what runs beside the requests."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path as File
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route as Path

from breakeven.gateway.api import (
    admin,
    candidate,
    changes,
    comparisons,
    feedback,
    labels,
    policy,
    road,
    status,
    students,
    traffic,
    upstreams,
    whatif,
)
from breakeven.gateway.api.console import console_router
from breakeven.gateway.api.docs_ui import docs_router
from breakeven.gateway.api.errors import HANDLERS
from breakeven.gateway.api.openapi import document
from breakeven.gateway.api.security import LocalAccess
from breakeven.gateway.config.schema import Config
from breakeven.gateway.endpoints.chat import ChatCompletions, Completions
from breakeven.gateway.endpoints.embeddings import Embeddings
from breakeven.gateway.endpoints.input_tokens import InputTokens
from breakeven.gateway.endpoints.messages import CountTokens, Messages
from breakeven.gateway.endpoints.responses import Compact, Responses
from breakeven.gateway.endpoints.stored_responses import OPERATIONS, Operation
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.observability.candidate import CandidateCollector
from breakeven.gateway.observability.road import RoadCollector
from breakeven.gateway.proxy import background
from breakeven.gateway.proxy.count_tokens import CountRelay
from breakeven.gateway.proxy.handler import Relay
from breakeven.gateway.proxy.stored import StoredRelay
from breakeven.gateway.road.candidate import Experiment
from breakeven.gateway.runtime.promotion import with_promotion
from breakeven.gateway.runtime.road_runner import RoadRunner
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.runtime.workload_routing import routing
from breakeven.gateway.server import start_report
from breakeven.gateway.server.further_paths import FurtherPaths
from breakeven.gateway.server.learning import learn_capabilities
from breakeven.gateway.server.paths import ClientPaths
from breakeven.gateway.server.reload import Current
from breakeven.gateway.server.sharing import follow_traffic
from breakeven.gateway.server.watched_files import WatchedFiles
from breakeven.gateway.wire.headers import HEADERS
from breakeven.router.model.artifact import Artifact

_COUNTING = (InputTokens, CountTokens)
_ADAPTERS = (ChatCompletions, Completions, Responses, Compact, Embeddings, Messages, *_COUNTING)


class _Gateway(FastAPI):
    """The app, whose OpenAPI document describes the relayed endpoints too."""

    _described: frozenset[str] = frozenset()

    def openapi(self) -> dict[str, Any]:
        """The document, which is made once for the paths of a config's further models."""
        further = self.state.current().model_paths
        if self.openapi_schema is None or self._described != further:
            self.openapi_schema, self._described = document(self, _ADAPTERS, further), further
        return self.openapi_schema


def create_app(
    config: Config,
    artifact: Artifact,
    ledger: Ledger,
    read: Callable[[], Config] | None = None,
    path: File | None = None,
    files: WatchedFiles | None = None,
    keep: Callable[[Config], None] | None = None,
) -> FastAPI:
    """The gateway as an ASGI app. The ledger is closed when the app ends.

    With `read` the config is read again when its file, `path`, changes or `app.state.current.ask()` is called; for
    `files` and `keep` see `Current`.
    """
    current = Current(_services(config, artifact, ledger), read, path, files=files, keep=keep)
    app = _Gateway(
        title="Breakeven",
        version="1",
        description="An OpenAI-compatible gateway that answers with a distilled student or its teacher.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lambda _: _running(current, ledger),
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        exception_handlers=HANDLERS,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.current = current
    current().registry.register(RoadCollector(lambda: routing(current())))
    current().registry.register(CandidateCollector(lambda: current().state.experiment))
    relays = {
        f"/v1{adapter.path}": (CountRelay if adapter in _COUNTING else Relay)(adapter(), current)
        for adapter in _ADAPTERS
    }
    app.router.routes.extend(Path(path, relay) for path, relay in relays.items())
    app.router.routes.extend(Path(path, relay) for path, relay in _stored_relays(current).items())
    # A server may take these paths straight to their relay, past the layers that only other paths need.
    app.state.relays = {} if config.server.cors_origins else relays
    own = (status, policy, admin, traffic, whatif, road, candidate, comparisons, labels, students, changes, upstreams)
    for router in (*(one.router for one in (*own, feedback)), console_router(), docs_router()):
        app.include_router(router)
    app.router.routes.append(FurtherPaths(current))
    if config.server.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.server.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=[name for name, _ in HEADERS],
        )
    app.add_middleware(LocalAccess, services=current)
    app.add_middleware(
        ClientPaths, relayed=[adapter.path for adapter in _ADAPTERS], further=lambda: current().model_paths
    )
    return app


def _services(config: Config, artifact: Artifact, ledger: Ledger) -> Services:
    """The services of a config, with the candidate as the student where it was promoted."""
    found = with_promotion(config, ledger, Experiment())
    if found is not config:
        # The ledger was opened with the file's, whose student costs something else.
        ledger.enter(found, now=time.time_ns() // 1000)
    return replace(Services.build(found, artifact, ledger), file_config=config)


def _stored_relays(current: Current) -> dict[str, StoredRelay]:
    """The relays of the paths below /v1/responses."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        paths.setdefault(f"/v1/responses/{{id}}{operation.below}", {})[operation.method] = operation
    return {path: StoredRelay(operations, current) for path, operations in paths.items()}


@contextlib.asynccontextmanager
async def _running(current: Current, ledger: Ledger) -> AsyncIterator[None]:
    """The upstreams and the background tasks, from the start of the app to its end."""
    for upstream in current().every_upstream.values():
        await upstream.start()
    tasks = [asyncio.create_task(work) for work in _background(current)]
    try:
        yield
    finally:
        # Each of them ends within two seconds.
        state = current().state
        await asyncio.gather(*state.counting, *state.owners.writing, return_exceptions=True)
        await state.quotas.budgets.finish()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await current.aclose()
        if (spans := current().state.spans) is not None:
            await asyncio.to_thread(spans.close)
        current().state.quotas.close()
        current().state.stored.close()
        await asyncio.to_thread(ledger.close)


def _background(current: Current) -> list[Coroutine[Any, Any, None]]:
    """What runs beside the requests until it is cancelled."""
    work = [
        current.watch(),
        learn_capabilities(current),
        current().state.quotas.run(lambda: current().config.auth.budgeted),
        current().state.prompts.run(),
        current().state.kept.run(),
        current().state.unknown_workloads.waiting.run(),
        background.run(current),
        follow_traffic(current),
        _compare_answers(current),
        _observe_hosting(current),
        RoadRunner(current, current.request_reload).run(),
        _report_start(current),
    ]
    publisher = current().publisher
    return work if publisher is None else [*work, publisher.run()]


async def _report_start(current: Current) -> None:
    """Log what was reached and what is missing; with several workers their supervisor does, and each only notes it."""
    services = current()
    upstreams = list(services.every_upstream.values())
    if services.publisher is None:
        await start_report.report(services.config, upstreams)
    else:
        await start_report.note_reached(upstreams)


async def _observe_hosting(current: Current) -> None:
    """Observe the student's replicas, until cancelled. The modules for it are imported where that is configured."""
    while current().config.hosting_observed is None:
        await current.next_reload()
    from breakeven.gateway.runtime.hosting_observer import HostingObserver

    journal = current().config.ledger.journal
    assert journal is not None, "load_config resolves it"
    observer = HostingObserver(current().ledger, File(journal))
    await observer.run(lambda: current().config.hosting_observed)


async def _compare_answers(current: Current) -> None:
    """Compare the requests that are drawn, until cancelled. The modules for it are imported with the first of them."""
    await current().state.drawn.first()
    from breakeven.gateway.comparing.worker import Comparer

    await Comparer().run(current)
