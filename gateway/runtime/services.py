"""The objects that serve requests, built once per config as one typed value."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from breakeven.gateway.accounting.prices import FREE, Cost, Price, cost
from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.config.schema import Config, FurtherModel
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.keeping import Keeper
from breakeven.gateway.ledger.rates import in_force, model_price_schedule, price_schedule
from breakeven.gateway.ledger.redaction import load_redact
from breakeven.gateway.limits.rate_limits import Quotas
from breakeven.gateway.observability.exposition import Publisher, exported_registry, shared_by_workers
from breakeven.gateway.observability.metrics import Metrics
from breakeven.gateway.observability.server import ServerMetrics
from breakeven.gateway.observability.state import PolicyCollector
from breakeven.gateway.observability.tracing import open_spans
from breakeven.gateway.policy.active import Policies
from breakeven.gateway.policy.capabilities import declared, limited
from breakeven.gateway.policy.unit import Unit
from breakeven.gateway.road.candidate import Phase
from breakeven.gateway.road.sampling import raised
from breakeven.gateway.road.stages import Rates, Stage
from breakeven.gateway.runtime.owners import Owners
from breakeven.gateway.runtime.state import State
from breakeven.gateway.runtime.stored_responses import StoredResponses
from breakeven.gateway.runtime.text_queue import TextQueue
from breakeven.gateway.runtime.unknown_workloads import UnknownWorkloads
from breakeven.gateway.upstreams.chain import by_label, candidate, fallback, further, kept
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.model.artifact import Artifact
from breakeven.router.policy import ROUTED, Capabilities, Policy, Route

_BOTH = frozenset(ROUTED)
# How many wait at most to be stored.
_PROMPTS, _CONVERSATIONS = 10_000, 4000
_MOST_BYTES = 64 << 20


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
    server_metrics: ServerMetrics
    publisher: Publisher | None = None
    # The teacher's other providers, in order.
    fallbacks: tuple[Upstream, ...] = ()
    # What may become the next student.
    candidate: Upstream | None = None
    models: Mapping[str, Upstream] = field(default_factory=dict)
    model: FurtherModel | None = None
    # The config as its file has it, where a promoted candidate is the student in `config`.
    file_config: Config | None = None

    @classmethod
    def build(cls, config: Config, artifact: Artifact, ledger: Ledger) -> Services:
        """Build the services of a config. Opens no connection: call `start` of each upstream for that."""
        registry = CollectorRegistry()
        upstreams = {route: Upstream(route, section) for route, section in config.upstreams.items()}
        fallbacks = tuple(fallback(section) for section in config.teacher.fallbacks)
        models = {one.name: further(one) for one in config.models}
        beside = None if config.candidate is None else candidate(config.candidate)
        exported_upstreams = _by_label(upstreams, beside, fallbacks, models)
        metrics = Metrics(registry, flush_promptly=shared_by_workers())
        metrics.expect(exported_upstreams.values())
        of_server = ServerMetrics(registry)
        publisher = Publisher(registry, exported_upstreams, ledger, of_server) if shared_by_workers() else None
        exported = exported_registry(registry, exported_upstreams, ledger)
        policies = Policies.beside_ledger(config, artifact.hash, ledger if ledger.shared else None)
        journal = config.ledger.journal
        keeper = Keeper(ledger.conversations, ledger.store_prompts, load_redact(config.ledger.redact))
        stored = StoredResponses(None if journal is None else Path(journal))
        state = State(
            policies,
            Quotas(ledger, config.server.workers),
            TextQueue("prompts", keeper.store_prompts, _PROMPTS, lambda one: len(one[2]), _MOST_BYTES),
            TextQueue("conversations", keeper.store_conversations, _CONVERSATIONS, lambda one: one.size, _MOST_BYTES),
            UnknownWorkloads(metrics, ledger.road.put_unknown),
            Owners(stored, ledger),
            exported_upstreams=exported_upstreams,
            stored=stored,
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
            server_metrics=of_server,
            publisher=publisher,
            state=state,
            fallbacks=fallbacks,
            models=models,
            candidate=beside,
        )

    @property
    def given(self) -> Config:
        """The config as its file has it: without a promotion of the candidate."""
        return self.file_config or self.config

    def with_config(self, config: Config, artifact: Artifact, given: Config | None = None) -> Services:
        """These services with another config and artifact, and the same state; `given`: the config as its file has it.

        An upstream whose config section is unchanged is kept with its connections; others are new and not started.
        """
        upstreams = {}
        for route, section in config.upstreams.items():
            upstreams[route] = kept(self.upstreams.get(route), section) or Upstream(route, section)
        wanted = config.candidate
        beside = None if wanted is None else kept(self.candidate, wanted) or candidate(wanted)
        known = {one.provider: one for one in self.fallbacks}
        fallbacks = (kept(known.get(one.name), one) or fallback(one) for one in config.teacher.fallbacks)
        models = {one.name: kept(self.models.get(one.name), one) or further(one) for one in config.models}
        return replace(
            self,
            config=config,
            file_config=given,
            artifact=artifact,
            upstreams=upstreams,
            fallbacks=tuple(fallbacks),
            models=models,
            candidate=beside,
            policies=Policies.beside_ledger(config, artifact.hash, self.ledger if self.ledger.shared else None),
        )

    @property
    def every_upstream(self) -> dict[str, Upstream]:
        """All upstreams by label: of each role, the candidate, the teacher's other providers, the further models."""
        return _by_label(self.upstreams, self.candidate, self.fallbacks, self.models)

    @property
    def asked_candidate(self) -> Upstream | None:
        """The candidate, if there is one that was not dropped in this version."""
        candidate, experiment = self.candidate, self.state.experiment
        if candidate is None or (experiment.phase is Phase.DROPPED and experiment.candidate == candidate.version):
            return None
        return candidate

    @property
    def candidate_share(self) -> float:
        """The share of the student's conversations that the candidate answers, in [0, 1]."""
        section = self.config.candidate
        return 0.0 if section is None or section.share == 0.0 or self.asked_candidate is None else section.share

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

    @property
    def keys(self) -> Mapping[str, ClientKey]:
        """The client keys of the config, by SHA-256 in hex."""
        return self.config.auth.by_hash

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


def _by_label(
    first: Mapping[Route, Upstream],
    beside: Upstream | None,
    fallbacks: tuple[Upstream, ...],
    models: Mapping[str, Upstream],
) -> dict[str, Upstream]:
    return by_label((*first.values(), *(() if beside is None else (beside,)), *fallbacks, *models.values()))
