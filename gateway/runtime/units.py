"""The units in force: what the ledger says of each workload's stage, with the artifacts that go with it."""

from __future__ import annotations

from collections.abc import Mapping

from breakeven.gateway.config.routing import Escalation
from breakeven.gateway.config.schema import Config
from breakeven.gateway.policy.unit import Unit
from breakeven.gateway.road.machine import in_force
from breakeven.gateway.road.sampling import raised
from breakeven.gateway.road.stages import Rates, Stage, State, is_of
from breakeven.router.model.artifact import Artifact
from breakeven.router.policy import Policy


class Units:
    """The states of all workloads as last read from the ledger, and the artifacts that they name.

    `put` replaces all of it at once, so that a request sees one state whole.
    """

    def __init__(self) -> None:
        self._states: Mapping[str, State] = {}
        self._artifacts: Mapping[str, Artifact] = {}
        # With `start: share`, the threshold of a workload's own traffic.
        self.share_thresholds: dict[str, float] = {}

    def put(self, states: Mapping[str, State], artifacts: Mapping[str, Artifact]) -> None:
        """Put these states in force; `artifacts` are by hash."""
        self._states, self._artifacts = states, artifacts

    @property
    def artifacts(self) -> Mapping[str, Artifact]:
        """The artifacts of the states in force, by hash."""
        return self._artifacts

    @property
    def states(self) -> Mapping[str, State]:
        """The states in force, by workload."""
        return self._states

    def unit(self, workload: str, config: Config, packaged: Artifact) -> Unit:
        """What decides the requests of a workload; `packaged` is the artifact that is used without one of its own."""
        state, novelty = self._states.get(workload), config.routing.novelty_threshold
        stage = Stage.OBSERVE if state is None else state.stage
        rates = (None if state is None else state.rates) or first_rates(config)
        promised = state.promised if state is not None and in_force(state) else None
        if promised is not None and config.student is not None and not is_of(promised.student, config.student.named):
            promised = None  # it says nothing of this student
        own = None if promised is None else self._artifacts.get(promised.artifact)
        if promised is not None and own is not None:
            rule = escalation(config, promised.limit)
            return Unit(stage, own, Policy(promised.threshold, novelty), rule, True, rates)
        if config.routing.start == "share":
            threshold = self.share_thresholds.get(workload, 1.0 - config.routing.teacher_share)
            return Unit(stage, packaged, Policy(threshold, novelty), config.routing.escalation, True, rates)
        return Unit(stage, packaged, Policy(0.0, novelty), None, False, rates)


def first_rates(config: Config) -> Rates:
    """The probabilities of comparing before the ledger says others."""
    sample = config.road.sample
    if config.student is None or sample == 0:
        return Rates()
    if config.routing.start == "share":
        return Rates(1.0, raised(sample))
    return Rates(1.0, sample)


def escalation(config: Config, limit: float | None) -> Escalation | None:
    """The rule that discards the student's answer below this mean log-probability; None for None."""
    if limit is None:
        return None
    rule = config.routing.escalation or Escalation()
    return rule.model_copy(update={"min_mean_logprob": limit})
