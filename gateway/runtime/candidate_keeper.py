"""Keeping the experiment with the candidate: every process follows it, and one of them goes on with it.

It does so in the round of `RoadRunner`, so that artifacts are trained, and deleted, by one task.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
import numpy as np

from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.ledger.candidates import Change
from breakeven.gateway.road import machine
from breakeven.gateway.road.audit import scorer_of
from breakeven.gateway.road.candidate import (
    Experiment,
    Phase,
    compared,
    held,
    measured,
    new_road,
    read_experiment,
    write_experiment,
)
from breakeven.gateway.road.gate import Verdict, judged
from breakeven.gateway.road.promise import error_of_look
from breakeven.gateway.road.stages import is_of, read_state
from breakeven.gateway.runtime.promotion import change, in_force, known_experiment
from breakeven.gateway.runtime.road_learning import labelled, learned_from, settings_of
from breakeven.gateway.runtime.road_obstacles import obstacle
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.runtime.trained_artifacts import TrainedArtifacts

_log = logging.getLogger("breakeven.road")

_CHECK_SECONDS = 60.0
# No larger a share of this time's requests, in microseconds, of at least so many, may be compared without it.
_RECENT, _ENOUGH, _MISSING = 3_600_000_000, 20, 0.2
FAILS = (
    "many requests are compared without an answer of it, so that the others may not be like all requests: see "
    "breakeven_candidate_comparisons_total, breakeven_upstream_failures_total and `breakeven check --live`"
)


class CandidateKeeper:
    """Follows the experiment, and goes on with it where this process is to."""

    def __init__(
        self, services: Callable[[], Services], artifacts: TrainedArtifacts, reload: Callable[[], None]
    ) -> None:
        """`services`: those in force now. `reload` has the config put in force anew, as a promotion changes it."""
        self._services = services
        self._artifacts = artifacts
        self._reload = reload
        self._version = 0
        self._fault = ""
        self._looked_at: dict[str, int] = {}
        self._checked = -_CHECK_SECONDS
        # The versions and the number of comparisons that were looked at last.
        self._counted: tuple[str, str, int] | None = None

    @property
    def settled(self) -> bool:
        """Whether the config in force is the one that goes with the experiment."""
        services = self._services()
        return in_force(services.given, services.state.experiment) == services.config

    def follow(self) -> None:
        """Read the experiment if it has changed, and have the config put in force with it; waits for the database."""
        state, ledger = self._services().state, self._services().ledger
        try:
            version = ledger.candidates.version()
            if version == self._version:
                return
            known = known_experiment(ledger)
        except BreakevenError as error:
            self._say(f"what is known of the candidate cannot be read, and stays as it is: {error}")
            return
        state.experiment, self._version = known, version
        self._say("")
        if not self.settled:
            self._reload()

    async def advance(self) -> None:
        """Go on with the experiment by what was compared since. Raises LedgerError."""
        services = self._services()
        config, ledger = services.config, services.ledger
        if config.candidate is None or config.student is None:
            return
        versions = await asyncio.to_thread(ledger.candidates.newest_versions)
        named = config.candidate.named, config.student.named
        if versions is None or not all(map(is_of, versions[:2], named)):
            return
        scorer, now = scorer_of(config), _now()
        await self._change(lambda one: compared(one, versions, named, scorer, now))
        experiment = services.state.experiment
        if experiment.phase in (Phase.PROMOTED, Phase.DROPPED):
            return
        await self._measure(services, experiment)
        if services.state.experiment.phase is Phase.BETTER and not services.operator_routes:
            for workload, (_, document) in (await asyncio.to_thread(ledger.road.states)).items():
                await self._prepare(workload, document)

    async def _measure(self, services: Services, experiment: Experiment) -> None:
        """See what was compared since, unless too many answers are missing to conclude anything of the others."""
        store, now = services.ledger.candidates, _now()
        if time.monotonic() - self._checked >= _CHECK_SECONDS:
            self._checked = time.monotonic()
            every, answered = await asyncio.to_thread(
                store.answered, experiment.candidate, experiment.student, now - _RECENT
            )
            failing = every >= _ENOUGH and every - answered > _MISSING * every
            self._counted = None
            await self._change(lambda one: held(one, FAILS if failing else "") if _same(one, experiment) else one)
        count = await asyncio.to_thread(store.count, experiment.candidate, experiment.begun)
        found = experiment.candidate, experiment.student, count
        if services.state.experiment.held or found == self._counted:
            return
        self._counted = found
        verdict = await asyncio.to_thread(_verdict, services, experiment)
        if verdict is not None:
            await self._change(lambda one: measured(one, verdict, now) if _same(one, experiment) else one)

    async def _prepare(self, workload: str, document: str) -> None:
        """Have a router trained for the candidate on its comparisons of a workload, where there are enough of them, to
        go in force with it.
        """
        services = self._services()
        experiment, settings = services.state.experiment, settings_of(services.config)
        state = read_state(workload, document)
        road = experiment.roads.get(workload) or new_road(experiment, state, _now())
        rows = await asyncio.to_thread(
            services.ledger.road.comparisons, workload, road.measured_since, experiment.candidate
        )
        known = labelled(rows)
        if not machine.look_due(road, len(rows), settings) or len(known) < settings.labels:
            return
        if self._looked_at.get(workload) == len(rows):
            return  # it failed, and would fail again
        self._looked_at[workload] = len(rows)
        if await asyncio.to_thread(obstacle, services.ledger, road, services.config) is not None:
            return
        out = self._artifacts.folder / f".learning-candidate-{services.ledger.id[:8]}"
        error = error_of_look(road.looks + 1, settings.confidence)
        learned, at, bill = await learned_from(self._artifacts, out, rows, known, settings.floor, error)
        # Only the operator's word puts it in force.
        found = machine.after_look(road, learned, at, bill, settings._replace(advance=False), _now())
        found = msgspec.structs.replace(found, looked_at=len(rows))
        await self._change(
            lambda one: (
                msgspec.structs.replace(one, roads={**one.roads, workload: found}) if _same(one, experiment) else one
            )
        )

    async def _change(self, make: Callable[[Experiment], Experiment]) -> None:
        """Store the changed experiment, and follow it here; others do within a second or two."""

        def changed(document: str | None, _: dict[str, str]) -> Change | None:
            before = Experiment() if document is None else read_experiment(document)
            after = make(before)
            if after == before:
                return None
            if after.why != before.why and after.why:
                _log.info("the candidate is %s: %s", after.phase, after.why)
                return change(after, _now())
            return Change(write_experiment(after))

        if await asyncio.to_thread(self._services().ledger.candidates.change, changed):
            await asyncio.to_thread(self.follow)

    def _say(self, fault: str) -> None:
        if fault and fault != self._fault:
            _log.error("%s", fault)
        self._fault = fault


def _verdict(services: Services, experiment: Experiment) -> Verdict | None:
    road = services.config.road
    rows = services.ledger.candidates.compared(
        (experiment.candidate, experiment.student, experiment.teacher), experiment.begun
    )
    # A checker gives the teacher's answer the full score, so that answers differ by at most 1; a judge prefers either.
    bound = 2.0 if road.scorer == "judge" else 1.0
    differences = np.clip([row.difference for row in rows], -bound, bound)
    return judged(differences, np.array([row.weight for row in rows]), road.confidence, bound)


def _same(one: Experiment, other: Experiment) -> bool:
    """Whether the first goes on, and both are of one candidate, beside one student."""
    if one.phase in (Phase.PROMOTED, Phase.DROPPED):
        return False
    return (one.candidate, one.student, one.begun) == (other.candidate, other.student, other.begun)


def _now() -> int:
    return time.time_ns() // 1000
