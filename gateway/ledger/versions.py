"""Which student is in force for each workload: what was compared or rated of another one says nothing of it."""

from __future__ import annotations

from sqlalchemy import Connection, select

from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.ledger.road_tables import road_states
from breakeven.gateway.ledger.rows import SHADOW
from breakeven.gateway.road.stages import read_state


class InForce:
    """The versions of the student in force, by workload: as the stages say, and without any as of the newest comparison
    of the student that was in force then.
    """

    def __init__(self, connection: Connection) -> None:
        self._known: dict[str, str] = {}
        for workload, document in connection.execute(select(road_states.c.workload, road_states.c.document)):
            try:
                student = read_state(workload, document).student
            except BreakevenError:
                continue  # the gateway says so, and begins it anew
            if student:
                self._known[workload] = student

    def of(self, workload: str, version: str, source: str) -> bool:
        """Whether a comparison is of the student in force. To be asked in order of time, the newest first."""
        if source == SHADOW:
            self._known.setdefault(workload, version)
        return self._known.get(workload) == version

    @property
    def students(self) -> frozenset[str]:
        """The versions in force of all workloads, as far as they are known by now."""
        return frozenset(self._known.values())
