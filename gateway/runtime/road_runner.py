"""The runner of the road: one gateway of a ledger at a time moves the workloads through their stages.

Every process follows what the ledger says; the one that holds the lease also looks at comparisons, has routers trained,
and watches what is in force. All of it goes on where it was after a restart, in this process or in another one, since
nothing is kept but what the ledger has.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.errors import BreakevenError, LedgerError
from breakeven.gateway.road import machine
from breakeven.gateway.road.audit import scorer_of
from breakeven.gateway.road.holding import holding
from breakeven.gateway.road.machine import Seen, Settings
from breakeven.gateway.road.promise import error_of_look
from breakeven.gateway.road.stages import Rates, State, is_of, write_state
from breakeven.gateway.runtime.candidate_keeper import CandidateKeeper
from breakeven.gateway.runtime.road_change import event
from breakeven.gateway.runtime.road_follower import RoadFollower
from breakeven.gateway.runtime.road_learning import labelled, learned_from, settings_of
from breakeven.gateway.runtime.road_obstacles import facts, without_verdicts
from breakeven.gateway.runtime.road_pacing import differ, paced
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.runtime.trained_artifacts import artifacts_folder
from breakeven.gateway.runtime.units import first_rates
from breakeven.router.model.artifact import ArtifactError
from breakeven.router.policy import Route

_log = logging.getLogger("breakeven.road")

_FOLLOW_SECONDS = 2.0
_WORK_SECONDS = 2.0
_PACE_SECONDS = 60.0
_AGAIN_SECONDS = 60.0
_LEASE = "road"
_LEASE_SECONDS = 15.0
_RENEW_SECONDS = 5.0
# Requests whose novelty is read at once, and how long a request may take until it is in the ledger.
_NOVELTIES = 20_000
_SETTLED_MICROSECONDS = 5_000_000
_STORED_MICROSECONDS = 10_000_000


class RoadRunner:
    """Follows the stages, and runs them while it holds the lease."""

    def __init__(self, services: Callable[[], Services], reload: Callable[[], None]) -> None:
        """`services`: those in force now; `reload` has the config put in force anew."""
        self._services = services
        ledger, config = services().ledger, services().config
        assert config.ledger.journal is not None, "load_config resolves it"
        folder = artifacts_folder(Path(config.ledger.journal))
        self._store = ledger.road
        self._holder = ledger.id
        self._follower = RoadFollower(self._store, folder, services().state.units)
        self._candidate = CandidateKeeper(services, self._follower.artifacts, reload)
        self._renewed = -_RENEW_SECONDS
        self._paced = -_PACE_SECONDS
        # Of each workload: when the next look may be tried, and what is said of comparisons without a verdict.
        self._look_at: dict[str, float] = {}
        self._unjudged: dict[str, str | None] = {}
        self._fault = ""

    async def run(self) -> None:
        """Follow and work until cancelled."""
        working: asyncio.Task[None] | None = None
        try:
            while True:
                await self._follow()
                if await self._holds_lease():
                    if working is None or working.done():
                        working = asyncio.create_task(self._work())
                elif working is not None:
                    working.cancel()
                await asyncio.sleep(_FOLLOW_SECONDS)
        finally:
            if working is not None:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
            with contextlib.suppress(LedgerError):
                await asyncio.to_thread(self._store.end_lease, _LEASE, self._holder)

    async def _follow(self) -> None:
        """Follow what the ledger says; the one that holds the lease logs what has happened."""
        before = {name: self._follower.known(name)[1] for name in self._follower.workloads()}
        try:
            await asyncio.to_thread(self._candidate.follow)
            await asyncio.to_thread(self._follower.follow)
        except Exception as error:  # the gateway serves, whatever fails here
            self._say(f"internal error: {type(error).__name__}", error)
            return
        if time.monotonic() - self._renewed >= _LEASE_SECONDS:
            return
        for name in self._follower.workloads():
            state = self._follower.known(name)[1]
            happened = event(before.get(name, State(name)), state, _now())
            if happened is not None:
                _log.info("workload %s: stage %s: %s", name, happened.stage, happened.text)

    def _say(self, fault: str, error: Exception | None) -> None:
        if fault != self._fault:
            _log.error("the stages stay as they are: %s", fault, exc_info=error)
        self._fault = fault

    async def _holds_lease(self) -> bool:
        config = self._services().config
        if config.student is None:
            return False
        if time.monotonic() - self._renewed < _RENEW_SECONDS:
            return True
        now = _now()
        try:
            held = await asyncio.to_thread(
                self._store.take_lease, _LEASE, self._holder, now, now + round(1e6 * _LEASE_SECONDS)
            )
        except LedgerError:
            return False  # the follower says so
        if held:
            self._renewed = time.monotonic()
        return held

    async def _work(self) -> None:
        """One round over all workloads. A failure is logged once, and tried again in the next round."""
        try:
            for workload in await asyncio.to_thread(self._workloads):
                await self._advance(workload)
            await self._candidate.advance()
            self._fault = ""
        except Exception as error:  # the gateway serves, whatever fails here
            said = isinstance(error, BreakevenError | OSError | ArtifactError)
            self._say(str(error) if said else f"internal error: {type(error).__name__}", None if said else error)
        await asyncio.sleep(_WORK_SECONDS)

    def _workloads(self) -> list[str]:
        return sorted(self._store.workloads() | self._follower.workloads() | {DEFAULT_WORKLOAD})

    async def _advance(self, workload: str) -> None:
        services = self._services()
        config, settings = services.config, settings_of(services.config)
        _, state = self._follower.known(workload)
        student, teacher = _student_version(services, state), services.upstreams[Route.TEACHER].version
        if (state.student, state.teacher) != (student, teacher):
            # With a promotion the states change at once, and the config in force a moment later.
            await asyncio.to_thread(self._candidate.follow)
            if not self._candidate.settled:
                return
            await self._change(workload, lambda one: machine.versions_changed(one, student, teacher, _now()))
            return
        scorer = scorer_of(config)
        await self._change(workload, lambda one: machine.scorer_changed(one, scorer, _now()))
        await self._change(workload, lambda one: machine.floor_changed(one, settings, _now()))
        await self._pace()
        _, state = self._follower.known(workload)
        if machine.in_force(state):
            await self._watch(state)
        _, state = self._follower.known(workload)
        comparisons = await asyncio.to_thread(self._store.count, workload, state.measured_since, state.student)
        due = machine.look_due(state, comparisons, settings) and config.road.sample > 0.0
        found = await asyncio.to_thread(facts, services, state, due=due, unjudged=self._unjudged.get(workload))
        await self._change(workload, lambda one: machine.held(one, holding(one, found)))
        if due and not found.operator and found.obstacle is None and time.monotonic() >= self._look_at.get(workload, 0):
            await self._try_to_look(self._follower.known(workload)[1], settings)

    async def _try_to_look(self, state: State, settings: Settings) -> None:
        """Look; after a failure, which is said, the next try waits a minute."""
        try:
            await asyncio.to_thread(self._follower.artifacts.prepare)
            await self._look(state, settings)
        except (BreakevenError, OSError, ArtifactError) as error:
            self._look_at[state.workload] = time.monotonic() + _AGAIN_SECONDS
            await self._looked_in_vain(state.workload, f"a router cannot be trained: {error}")
            raise

    async def _looked_in_vain(self, workload: str, text: str) -> None:
        await self._change(workload, lambda one: machine.looked_in_vain(one, text))

    async def _pace(self) -> None:
        """Once a minute: how often requests of each workload are compared."""
        if time.monotonic() - self._paced < _PACE_SECONDS:
            return
        self._paced = time.monotonic()
        services = self._services()
        config, settings = services.config, settings_of(services.config)
        states = {name: self._follower.known(name)[1] for name in self._follower.workloads()}
        wanted = {name: machine.wanted_rates(one, first_rates(config), settings) for name, one in states.items()}
        for workload, rates in (await asyncio.to_thread(paced, services.ledger, config, wanted, _now())).items():
            if differ(states[workload].rates, rates):
                await self._change(workload, functools.partial(_with_rates, rates=rates))
        self._unjudged = {
            workload: await asyncio.to_thread(without_verdicts, services.ledger, state, config)
            for workload, state in states.items()
            if machine.in_force(state)
        }

    async def _watch(self, state: State) -> None:
        """Give the watch what has come in."""
        assert state.promised is not None
        artifact, until = state.promised.artifact, _now() - _SETTLED_MICROSECONDS
        rows = await asyncio.to_thread(self._store.comparisons, state.workload, state.live, state.student)
        compared = [
            Seen(row.at, row.student_score, row.teacher_score, row.direction, row.weight)
            for row in rows
            if row.artifact == artifact
        ]
        novel = await asyncio.to_thread(self._store.novelties, state.workload, artifact, state.watched, _NOVELTIES)
        novel = [one for one in novel if one[0] < until]

        def change(one: State) -> State:
            if one.promised is None or one.promised.artifact != artifact:
                return one
            return machine.watched(one, compared, novel, _now())

        await self._change(state.workload, change)

    async def _look(self, state: State, settings: Settings) -> None:
        """Have a router trained on the comparisons, and see what can be promised with it."""
        rows = await asyncio.to_thread(self._store.comparisons, state.workload, state.measured_since, state.student)
        known = labelled(rows)
        if len(known) < settings.labels:
            if rows and rows[-1].at > _now() - _STORED_MICROSECONDS:
                return  # prompts are stored a little later than comparisons
            # Without how many it are, so that each further comparison is not an event of its own.
            text = f"fewer than {settings.labels} comparisons have their prompt stored, which a router is trained on"
            await self._looked_in_vain(state.workload, text)
            return
        error = error_of_look(state.looks + 1, settings.confidence)
        out = self._follower.artifacts.folder / f".learning-{self._holder[:8]}"
        artifacts = self._follower.artifacts
        learned, at, bill = await learned_from(artifacts, out, rows, known, settings.floor, error)

        def change(one: State) -> State:
            if (one.measured_since, one.student, one.looks) != (state.measured_since, state.student, state.looks):
                return one
            found = machine.after_look(one, learned, at, bill, settings, _now())
            # Those without a prompt count as well: the next look waits for new comparisons.
            return msgspec.structs.replace(found, looked_at=len(rows))

        await self._change(state.workload, change)
        await asyncio.to_thread(self._forget_artifacts)

    def _forget_artifacts(self) -> None:
        """Delete the artifacts that no state names."""
        named = set(self._services().state.experiment.artifacts)
        for workload in self._follower.workloads():
            _, state = self._follower.known(workload)
            named |= {one.artifact for one in (state.promised, state.previous, state.proposal) if one is not None}
        self._store.keep_artifacts(named)
        self._follower.artifacts.keep(named)

    async def _change(self, workload: str, change: Callable[[State], State]) -> None:
        """Store the changed state, and put it in force here; others follow within a second or two."""
        version, state = self._follower.known(workload)
        new = change(state)
        if new == state:
            return
        happened = event(state, new, _now())
        await asyncio.to_thread(self._store.put_state, workload, version, write_state(new), happened)
        await self._follow()


def _with_rates(state: State, rates: Rates) -> State:
    return msgspec.structs.replace(state, rates=rates)


def _student_version(services: Services, state: State) -> str:
    """The version of the student. What its server loaded is not known until it was asked, and is then as it was."""
    student = services.upstreams[Route.STUDENT]
    unknown = student.reported is None and is_of(state.student, student.version)
    return state.student if unknown else student.version


def _now() -> int:
    return time.time_ns() // 1000
