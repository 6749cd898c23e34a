"""The objects that serve requests, built once per config as one typed value."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import defaultdict
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
from breakeven.gateway.config.schema import Config, FurtherModel
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.keeping import Keeper, Prompt, Waiting
from breakeven.gateway.ledger.rates import in_force, model_price_schedule, price_schedule
from breakeven.gateway.ledger.redaction import load_redact
from breakeven.gateway.limits.rate_limits import Quotas
from breakeven.gateway.observability.exposition import Publisher, exported_registry, shared_by_workers
from breakeven.gateway.observability.metrics import Metrics
from breakeven.gateway.observability.state import PolicyCollector
from breakeven.gateway.observability.tracing import open_spans
from breakeven.gateway.policy.active import Policies
from breakeven.gateway.policy.capabilities import declared, limited
from breakeven.gateway.policy.unit import Unit
from breakeven.gateway.road.sampling import raised
from breakeven.gateway.road.stages import Rates, Stage
from breakeven.gateway.runtime.comparison_queue import ComparisonQueue
from breakeven.gateway.runtime.response_affinity import ResponseAffinity
from breakeven.gateway.runtime.stored_responses import StoredResponses
from breakeven.gateway.runtime.text_queue import TextQueue
from breakeven.gateway.runtime.units import Units
from breakeven.gateway.runtime.unknown_workloads import UnknownWorkloads
from breakeven.gateway.upstreams.chain import by_label, fallback, further, kept
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.model.artifact import Artifact
from breakeven.router.policy import ROUTED, Capabilities, Policy, Route
from breakeven.router.sticky import Assessments, Conversations

if TYPE_CHECKING:
    from breakeven.gateway.observability.spans import Spans


_BOTH = frozenset(ROUTED)
# How many wait at most to be stored.
_PROMPTS, _CONVERSATIONS = 10_000, 4000
_MOST_BYTES = 64 << 20


@dataclass
class State:
    """State that is kept across config reloads."""

    # Those of the config in force, which the metrics export.
    policies: Policies
    quotas: Quotas
    # What waits to be stored: (request, microseconds since the epoch, text), and conversations with answers to them.
    prompts: TextQueue[Prompt]
    kept: TextQueue[Waiting]
    unknown_workloads: UnknownWorkloads
    draining: bool = False
    # Set once running requests are aborted, so that their tasks know the cancellation comes from the shutdown.
    aborting: bool = False
    running: set[asyncio.Task[None]] = field(default_factory=set)
    # Requests whose clients are served, and whose unreported tokens are being counted.
    counting: set[asyncio.Task[None]] = field(default_factory=set)
    config_faults: tuple[str, ...] = ()
    conversations: Conversations = field(default_factory=Conversations)
    assessments: Assessments = field(default_factory=Assessments)
    # The upstreams of the config in force by label, whose state the metrics export.
    exported_upstreams: dict[str, Upstream] = field(default_factory=dict)
    responses: ResponseAffinity = field(default_factory=ResponseAffinity)
    # Who made which of them, and what waits for the usage of those that are made in the background.
    stored: StoredResponses = field(default_factory=StoredResponses)
    # What records the spans of requests; None where traces are off.
    spans: Spans | None = None
    # Tokens per event and per counted token at each upstream, by label, to estimate those that it does not report.
    token_ratios: defaultdict[str, TokenRatios] = field(default_factory=lambda: defaultdict(TokenRatios))
    # The stage of each workload, and what decides its requests then.
    units: Units = field(default_factory=Units)
    # Requests whose answers are to be compared with the other upstream's.
    drawn: ComparisonQueue = field(default_factory=ComparisonQueue)

    def abort(self) -> None:
        """Cancel all running requests; each answers its client with 503, or ends its stream with an error event."""
        self.aborting = True
        for task in self.running:
            task.cancel()


@dataclass
class Services:
    """Everything that serves a request. A config reload builds another; running requests keep their own.

    `models` are the further upstreams by name. A request to one of them gets services of its own from `for_model`,
    whose only upstream is that one; `model` is then its section of the config, else None.
    """

    config: Config
    artifact: Artifact
    ledger: Ledger
    registry: CollectorRegistry
    metrics: Metrics
    upstreams: Mapping[Route, Upstream]
    policies: Policies
    state: State
    publisher: Publisher | None = None
    # The teacher's other providers, in order.
    fallbacks: tuple[Upstream, ...] = ()
    models: Mapping[str, Upstream] = field(default_factory=dict)
    model: FurtherModel | None = None

    @classmethod
    def build(cls, config: Config, artifact: Artifact, ledger: Ledger) -> Services:
        """Build the services of a config. Opens no connection: call `start` of each upstream for that."""
        registry = CollectorRegistry()
        upstreams = {route: Upstream(route, section) for route, section in config.upstreams.items()}
        fallbacks = tuple(fallback(section) for section in config.teacher.fallbacks)
        models = {one.name: further(one) for one in config.models}
        exported_upstreams = by_label((*upstreams.values(), *fallbacks, *models.values()))
        metrics = Metrics(registry, flush_promptly=shared_by_workers())
        metrics.expect(exported_upstreams.values())
        publisher = Publisher(registry, exported_upstreams, ledger) if shared_by_workers() else None
        exported = exported_registry(registry, exported_upstreams, ledger)
        policies = Policies.beside_ledger(config, artifact.hash, ledger if ledger.shared else None)
        journal = config.ledger.journal
        keeper = Keeper(ledger.conversations, ledger.store_prompts, load_redact(config.ledger.redact))
        state = State(
            policies,
            Quotas(ledger),
            TextQueue("prompts", keeper.store_prompts, _PROMPTS, lambda one: len(one[2]), _MOST_BYTES),
            TextQueue("conversations", keeper.store_conversations, _CONVERSATIONS, lambda one: one.size, _MOST_BYTES),
            UnknownWorkloads(metrics, ledger.road.put_unknown),
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
            fallbacks=fallbacks,
            models=models,
        )

    def with_config(self, config: Config, artifact: Artifact) -> Services:
        """These services with another config and artifact, and the same state.

        An upstream whose config section is unchanged is kept with its connections; others are new and not started.
        """
        upstreams = {}
        for route, section in config.upstreams.items():
            upstreams[route] = kept(self.upstreams.get(route), section) or Upstream(route, section)
        known = {one.provider: one for one in self.fallbacks}
        fallbacks = (kept(known.get(one.name), one) or fallback(one) for one in config.teacher.fallbacks)
        models = {one.name: kept(self.models.get(one.name), one) or further(one) for one in config.models}
        return replace(
            self,
            config=config,
            artifact=artifact,
            upstreams=upstreams,
            fallbacks=tuple(fallbacks),
            models=models,
            policies=Policies.beside_ledger(config, artifact.hash, self.ledger if self.ledger.shared else None),
        )

    @property
    def every_upstream(self) -> dict[str, Upstream]:
        """All upstreams by label: the first of each role, the teacher's other providers, the further models."""
        return by_label((*self.upstreams.values(), *self.fallbacks, *self.models.values()))

    def for_model(self, name: str) -> Services:
        """The services of a request to this further model."""
        return self._of_models[name]

    @functools.cached_property
    def _of_models(self) -> dict[str, Services]:
        named = {one.name: one for one in self.config.models}
        return {
            name: replace(self, upstreams={Route.MODEL: upstream}, fallbacks=(), model=named[name])
            for name, upstream in self.models.items()
        }

    @functools.cached_property
    def model_paths(self) -> frozenset[str]:
        """The paths below /v1 that further models have."""
        return frozenset(path for one in self.config.models for path in one.paths)

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
        """The thresholds that an operator set through the admin API, else the config's."""
        return self.policies.active.policy

    def unit(self, workload: str) -> Unit:
        """What decides the requests of this workload. An artifact or a threshold that the operator gave comes before
        the stage of the workload.
        """
        if self.operator_routes:
            active = self.policies.active
            return Unit(Stage.ROUTE, self.artifact, active.policy, active.escalation, True, self._operator_rates)
        return self.state.units.unit(workload, self.config, self.artifact)

    @property
    def operator_routes(self) -> bool:
        """Whether the operator said what routes, in the config or through the admin API, so that no stage does."""
        return self._config_routes or self.policies.active.source == "admin"

    @functools.cached_property
    def _config_routes(self) -> bool:
        return self.config.operator_routes

    @functools.cached_property
    def _operator_rates(self) -> Rates:
        sample = self.config.road.sample if self.config.student is not None else 0.0
        return Rates(raised(sample), sample)

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
        """The routes with an upstream that accepts a request now: circuit not open, and below its concurrency limit."""
        found = [route for route, upstream in self.upstreams.items() if upstream.available]
        if self.fallbacks and Route.TEACHER not in found and any(one.available for one in self.fallbacks):
            found.append(Route.TEACHER)
        return _BOTH if len(found) == len(_BOTH) else frozenset(found)

    @property
    def price(self) -> Price:
        """The first teacher's prices in force now; for a further model that one's."""
        return self._price_of("" if self.model is None else self.model.name)

    def _price_of(self, provider: str) -> Price:
        schedule = self._price_schedules[provider]
        return schedule[0][1] if len(schedule) == 1 else in_force(schedule, time.time_ns() // 1000)

    @functools.cached_property
    def _price_schedules(self) -> dict[str, list[tuple[int, Price]]]:
        if self.model is not None:
            return {self.model.name: model_price_schedule(self.model)}
        teacher = self.config.teacher
        return {"": price_schedule(teacher), **{one.name: price_schedule(one) for one in teacher.fallbacks}}

    def cost(self, route: Route, usage: Usage, provider: str = "") -> Cost:
        """The cost of one attempt's usage at this provider's prices. The student's tokens cost nothing: it is paid for
        by the hour.
        """
        return FREE if route is Route.STUDENT else cost(usage, self._price_of(provider))

    @property
    def counts_tokens(self) -> bool:
        """Whether an answer costs by its tokens: not that of a further model without prices for these."""
        return self.model is None or self.model.usd_per_million is not None
