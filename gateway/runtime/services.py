"""What a running gateway consists of: one typed object that the lifespan builds."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from prometheus_client import CollectorRegistry

from breakeven.gateway.accounting.estimates import TokenRatios
from breakeven.gateway.accounting.prices import FREE, Cost, Price, cost
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.config.schema import ClientKey, Config
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.rates import in_force, price_schedule
from breakeven.gateway.limits.rate_limits import Quotas
from breakeven.gateway.observability.exposition import Publisher, exposed, shared_by_workers
from breakeven.gateway.observability.metrics import Metrics, PolicyCollector
from breakeven.gateway.policy.active import Policies
from breakeven.gateway.runtime.prompt_queue import Prompts
from breakeven.gateway.runtime.shadow_queue import Queue
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.model.artifact import Artifact
from breakeven.router.policy import Capabilities, Policy, Route
from breakeven.router.sticky import Conversations


class Holders:
    """Which upstream keeps which stored response: the last `size` of them."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._routes: OrderedDict[str, Route] = OrderedDict()

    def put(self, response_id: str, route: Route) -> None:
        """Remember; the oldest is forgotten where there are too many."""
        self._routes[response_id] = route
        if len(self._routes) > self._size:
            self._routes.popitem(last=False)

    def get(self, response_id: str | None) -> Route | None:
        """None for one that is not known."""
        return None if response_id is None else self._routes.get(response_id)


_BOTH = frozenset(Route)


@dataclass
class State:
    """What outlives a reload of the config."""

    # The policies of the config in force, for the metrics.
    policies: Policies
    quotas: Quotas
    prompts: Prompts
    draining: bool = False
    # Running requests were told to end: what is cancelled now is cancelled by the shutdown.
    aborting: bool = False
    running: set[asyncio.Task[None]] = field(default_factory=set)
    config_faults: tuple[str, ...] = ()
    conversations: Conversations = field(default_factory=Conversations)
    # The upstreams that the metrics show.
    shown: dict[Route, Upstream] = field(default_factory=dict)
    responses: Holders = field(default_factory=Holders)
    # What tokens are like at each upstream, to estimate those that it does not report.
    token_ratios: dict[Route, TokenRatios] = field(default_factory=lambda: {route: TokenRatios() for route in Route})
    # Student answers that are to be compared with the teacher's.
    drawn: Queue = field(default_factory=Queue)

    def abort(self) -> None:
        """End all running requests, each with an error that says so."""
        self.aborting = True
        for task in self.running:
            task.cancel()


@dataclass
class Services:
    """Everything that a request needs. A reload makes another one; running requests keep theirs."""

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
        """Wire the parts; opens no connection yet."""
        registry = CollectorRegistry()
        upstreams = {
            Route.STUDENT: Upstream(Route.STUDENT, config.student),
            Route.TEACHER: Upstream(Route.TEACHER, config.teacher),
        }
        metrics = Metrics(registry, at_once=shared_by_workers())
        shown = dict(upstreams)
        publisher = Publisher(registry, shown, ledger) if shared_by_workers() else None
        shown_to_scrapes = exposed(registry, shown, ledger)
        policies = Policies.beside_ledger(config, artifact.hash, ledger if ledger.shared else None)
        state = State(policies, Quotas(ledger), Prompts(ledger), shown=shown)
        shown_to_scrapes.register(PolicyCollector(lambda: state.policies.active.policy))
        return cls(
            config=config,
            artifact=artifact,
            ledger=ledger,
            registry=shown_to_scrapes,
            metrics=metrics,
            upstreams=upstreams,
            policies=policies,
            publisher=publisher,
            state=state,
        )

    def renewed(self, config: Config, artifact: Artifact) -> Services:
        """The same gateway with another config; an upstream whose section did not change is kept as it is."""
        sections = {Route.STUDENT: config.student, Route.TEACHER: config.teacher}
        return replace(
            self,
            config=config,
            artifact=artifact,
            upstreams={
                route: self.upstreams[route] if self.upstreams[route].config == section else Upstream(route, section)
                for route, section in sections.items()
            },
            policies=Policies.beside_ledger(config, artifact.hash, self.ledger if self.ledger.shared else None),
        )

    @functools.cached_property
    def keys(self) -> Mapping[str, ClientKey]:
        """The clients' keys by their SHA-256."""
        return {key.sha256: key for key in self.config.auth.keys}

    @property
    def policy(self) -> Policy:
        """The thresholds in force: the config's, or what an operator put over them."""
        return self.policies.active.policy

    @property
    def student(self) -> Capabilities:
        """What the student can take."""
        return Capabilities(
            frozenset(self.config.student.modalities),
            self.config.student.tools,
            self.upstreams[Route.STUDENT].context_window,
        )

    @property
    def available(self) -> frozenset[Route]:
        """The upstreams that may be called now."""
        student, teacher = self.upstreams[Route.STUDENT].available, self.upstreams[Route.TEACHER].available
        if student and teacher:
            return _BOTH
        return frozenset(route for route, there in ((Route.STUDENT, student), (Route.TEACHER, teacher)) if there)

    @property
    def price(self) -> Price:
        """The teacher's prices as they hold now."""
        return in_force(self._price_schedule, time.time_ns() // 1000)

    @functools.cached_property
    def _price_schedule(self) -> list[tuple[int, Price]]:
        return price_schedule(self.config)

    def cost(self, route: Route, usage: Usage) -> Cost:
        """What one attempt's usage costs. The student is paid for by the hour, so its tokens are free."""
        return cost(usage, self.price) if route is Route.TEACHER else FREE
