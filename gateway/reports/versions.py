"""The versions of the student that were compared, and how much of the teacher's quality each one keeps."""

from __future__ import annotations

from typing import NamedTuple

from breakeven.gateway.accounting.record import CANDIDATE
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.inspection import OfVersion
from breakeven.gateway.reports.labels import LEAST
from breakeven.gateway.road.stages import read_state
from breakeven.router.statistics import Interval, retained

# Versions whose quality is worked out; older ones are only named.
_MEASURED = 12


class Version(NamedTuple):
    """A version with its quality, as a share of the teacher's with a 95% interval; None with too few comparisons."""

    of: OfVersion
    in_force: bool
    retention: Interval | None


def versions(ledger: Ledger) -> list[Version]:
    """The versions that were compared, the newest first. Raises LedgerError."""
    states = {name: read_state(name, text).student for name, (_, text) in ledger.road.states().items()}
    found = []
    for number, one in enumerate(ledger.inspection.versions()):
        kept = None
        if number < _MEASURED and one.comparisons >= LEAST:
            scores = ledger.inspection.scores(one)
            kept = retained(scores)
        newest = ledger.road.newest_versions(one.workload)
        now = states.get(one.workload) or ("" if newest is None else newest[0])
        found.append(Version(one, one.source != CANDIDATE and one.version == now, kept))
    return found
