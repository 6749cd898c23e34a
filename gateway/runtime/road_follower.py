"""Following the stages in the ledger: each process looks once a second, and puts in force what it finds."""

from __future__ import annotations

import logging
from pathlib import Path

from breakeven.gateway.errors import BreakevenError, LedgerError
from breakeven.gateway.ledger.road import RoadStore
from breakeven.gateway.road.machine import in_force
from breakeven.gateway.road.stages import State, read_state
from breakeven.gateway.runtime.trained_artifacts import TrainedArtifacts
from breakeven.gateway.runtime.units import Units
from breakeven.router.model.artifact import Artifact, ArtifactError

_log = logging.getLogger("breakeven.road")


class RoadFollower:
    """The states as this process knows them, with the versions that they have in the ledger."""

    def __init__(self, store: RoadStore, folder: Path, units: Units) -> None:
        """`folder`: of this machine's copies of artifacts; `units`: what is put in force."""
        self.artifacts = TrainedArtifacts(store, folder)
        self._store = store
        self._units = units
        # As last read without a fault, and as last read.
        self._versions: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._states: dict[str, State] = {}
        self._fault = ""

    def known(self, workload: str) -> tuple[int, State]:
        """The version and the state of a workload; 0 and a new state where there is none."""
        return self._seen.get(workload, 0), self._states.get(workload) or State(workload)

    def workloads(self) -> set[str]:
        """Those that have a state."""
        return set(self._states)

    def follow(self) -> None:
        """Read what has changed and put it in force; waits for the database. Where that cannot be read all stays as it
        is. A workload whose artifact cannot be loaded is served by the teacher. Either is logged once.
        """
        try:
            if self._store.versions() == self._versions:
                return
            found = self._store.states()
        except LedgerError as error:
            self._say(f"the stages cannot be read, and stay as they are: {error}")
            return
        states = {workload: _decoded(workload, document) for workload, (_, document) in found.items()}
        artifacts, fault = self._loaded(states)
        self._units.put(states, artifacts)
        self._states = states
        self._seen = {workload: version for workload, (version, _) in found.items()}
        # With a fault all is read again.
        self._versions = {} if fault else self._seen
        self._say(fault)

    def _loaded(self, states: dict[str, State]) -> tuple[dict[str, Artifact], str]:
        """The artifacts of all that is in force, by hash, and what is wrong with those that are missing."""
        artifacts: dict[str, Artifact] = {}
        fault = ""
        for state in states.values():
            if not in_force(state) or state.promised is None:
                continue
            hash = state.promised.artifact
            try:
                artifact = artifacts.get(hash) or self._units.artifacts.get(hash) or self.artifacts.load(hash)
                if artifact is None:
                    raise ArtifactError("the ledger does not have it")
                artifacts[hash] = artifact
            except (LedgerError, OSError, ArtifactError) as error:
                fault = (
                    f"the artifact {hash} of workload {state.workload} cannot be loaded, the teacher answers: {error}"
                )
        return artifacts, fault

    def _say(self, fault: str) -> None:
        if fault and fault != self._fault:
            _log.error("%s", fault)
        self._fault = fault


def _decoded(workload: str, document: str) -> State:
    try:
        return read_state(workload, document)
    except BreakevenError as error:
        _log.error("%s", error)
        return State(workload)
