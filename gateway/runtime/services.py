"""The objects that serve requests, built once per config as one typed value."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from breakeven.gateway.accounting.estimates import TokenRatios
from breakeven.gateway.accounting.prices import FREE, Cost, Price, cost
from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.config.schema import Config
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.rates import in_force, price_schedule
from breakeven.gateway.limits.rate_limits import Quotas
from breakeven.gateway.observability.exposition import Publisher, exported_registry, shared_by_workers
from breakeven.gateway.observability.metrics import Metrics, PolicyCollector
from breakeven.gateway.observability.tracing import open_spans
from breakeven.gateway.policy.active import Policies
from breakeven.gateway.policy.capabilities import declared, limited
from breakeven.gateway.runtime.prompt_queue import PromptQueue
from breakeven.gateway.runtime.shadow_queue import ShadowQueue
from breakeven.gateway.runtime.stored_responses import StoredResponses
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.model.artifact import Artifact
from breakeven.router.policy import Capabilities, Policy, Route
from breakeven.router.sticky import Assessments, Conversations

if TYPE_CHECKING:
    from breakeven.gateway.observability.spans import Spans


class ResponseAffinity:
    """Which upstream stores which response of /v1/responses; the `size` most recent ones are known."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._routes: OrderedDict[str, Route] = OrderedDict()

    def put(self, response_id: str, route: Route) -> None:
        """Remember that `route` stores this response; the oldest entry is dropped above `size`."""
        self._routes[response_id] = route
        if len(self._routes) > self._size:
            self._routes.popitem(last=False)

    def forget(self, response_id: str) -> None:
        """Drop what is known of this response."""
        self._routes.pop(response_id, None)

    def get(self, response_id: str | None) -> Route | None:
        """The upstream that stores this response; None for an unknown or absent id."""
        return None if response_id is None else self._routes.get(response_id)


_BOTH = frozenset(Route)


@dataclass
class State:
    """State that is kept across config reloads."""

    # Those of the config in force, which the metrics export.
    policies: Policies
    quotas: Quotas
    prompts: PromptQueue
    draining: bool = False
    # Set once running requests are aborted, so that their tasks know the cancellation comes from the shutdown.
    aborting: bool = False
    running: set[asyncio.Task[None]] = field(default_factory=set)
    # Requests whose clients are served, and whose unreported tokens are being counted.
    counting: set[asyncio.Task[None]] = field(default_factory=set)
    config_faults: tuple[str, ...] = ()
    conversations: Conversations = field(default_factory=Conversations)
    assessments: Assessments = field(default_factory=Assessments)
    # The upstreams of the config in force, whose state the metrics export.
    exported_upstreams: dict[Route, Upstream] = field(default_factory=dict)
    responses: ResponseAffinity = field(default_factory=ResponseAffinity)
    # Who made which of them, and what waits for the usage of those that are made in the background.
    stored: StoredResponses = field(default_factory=StoredResponses)
    # What records the spans of requests; None where traces are off.
    spans: Spans | None = None
    # Tokens per event and per counted token at each upstream, to estimate those that it does not report.
    token_ratios: dict[Route, TokenRatios] = field(default_factory=lambda: {route: TokenRatios() for route in Route})
    # Student answers sampled for comparison with the teacher's.
    drawn: ShadowQueue = field(default_factory=ShadowQueue)

    def abort(self) -> None:
        """Cancel all running requests; each answers its client with 503, or ends its stream with an error event."""
        self.aborting = True
        for task in self.running:
            task.cancel()


@dataclass
class Services:
    """Everything that serves a request. A config reload builds another; running requests keep their own."""

    config: Config
    artifact: Artifact
    ledger: Ledger
    registry: CollectorRegistry
    metrics: Metrics
    upstreams: Mapping[Route, Upstream]
    policies: Policies
    state: State
    publisher: Publisher | None = None

    @classmethod
    def build(cls, config: Config, artifact: Artifact, ledger: Ledger) -> Services:
        """Build the services of a config. Opens no connection: call `start` of each upstream for that."""
        registry = CollectorRegistry()
        upstreams = {route: Upstream(route, section) for route, section in config.upstreams.items()}
        metrics = Metrics(registry, flush_promptly=shared_by_workers())
        exported_upstreams = dict(upstreams)
        publisher = Publisher(registry, exported_upstreams, ledger) if shared_by_workers() else None
        exported = exported_registry(registry, exported_upstreams, ledger)
        policies = Policies.beside_ledger(config, artifact.hash, ledger if ledger.shared else None)
        journal = config.ledger.journal
        state = State(
            policies,
            Quotas(ledger),
            PromptQueue(ledger),
            exported_upstreams=exported_upstreams,
            stored=StoredResponses(None if journal is None else Path(journal)),
            spans=open_spans(config.tracing),
        )
        exported.register(PolicyCollector(lambda: state.policies.active.policy))
        return cls(
            config=config,
            artifact=artifact,
            ledger=ledger,
            registry=exported,
            metrics=metrics,
            upstreams=upstreams,
            policies=policies,
            publisher=publisher,
            state=state,
        )

    def with_config(self, config: Config, artifact: Artifact) -> Services:
        """These services with another config and artifact, and the same state.

        An upstream whose config section is unchanged is kept with its connections; others are new and not started.
        """
        upstreams = {}
        for route, section in config.upstreams.items():
            before = self.upstreams.get(route)
            upstreams[route] = before if before is not None and before.config == section else Upstream(route, section)
        return replace(
            self,
            config=config,
            artifact=artifact,
            upstreams=upstreams,
            policies=Policies.beside_ledger(config, artifact.hash, self.ledger if self.ledger.shared else None),
        )

    @functools.cached_property
    def keys(self) -> Mapping[str, ClientKey]:
        """The client keys of the config, by SHA-256 in hex."""
        return {key.sha256: key for key in self.config.auth.keys}

    @functools.cached_property
    def workloads(self) -> frozenset[str]:
        """The names of workloads that a request may give."""
        return self.config.workload_names | {DEFAULT_WORKLOAD}

    @property
    def policy(self) -> Policy:
        """The thresholds in force: those that an operator set through the admin API, else the config's."""
        return self.policies.active.policy

    @property
    def student(self) -> Capabilities | None:
        """What the student's section of the config and its server say that it can do, which the routing rules check;
        None where there is only a teacher.
        """
        declared = self._declared
        return None if declared is None else limited(declared, self.upstreams[Route.STUDENT].reported)

    @functools.cached_property
    def _declared(self) -> Capabilities | None:
        section = self.config.student
        return None if section is None else declared(section)

    @property
    def available(self) -> frozenset[Route]:
        """The upstreams that accept a request now: circuit not open, and below their concurrency limit."""
        found = [route for route, upstream in self.upstreams.items() if upstream.available]
        return _BOTH if len(found) == len(_BOTH) else frozenset(found)

    @property
    def price(self) -> Price:
        """The teacher's prices in force now."""
        schedule = self._price_schedule
        return schedule[0][1] if len(schedule) == 1 else in_force(schedule, time.time_ns() // 1000)

    @functools.cached_property
    def _price_schedule(self) -> list[tuple[int, Price]]:
        return price_schedule(self.config)

    def cost(self, route: Route, usage: Usage) -> Cost:
        """The cost of one attempt's usage. The student's tokens cost nothing: it is paid for by the hour."""
        return cost(usage, self.price) if route is Route.TEACHER else FREE
