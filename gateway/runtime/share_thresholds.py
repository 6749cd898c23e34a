"""With `start: share`, the threshold of each workload from what the ledger has of its traffic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from breakeven.gateway.config.routing import Routing
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.road.share import NEWEST_SCORES, Turns, share_of_decisions, share_threshold
from breakeven.router.policy import Reason, Route

# How far back the turns of conversations are counted.
_COUNTED = DAY
_DECIDED = {Reason.DIFFICULT, Reason.NOVEL, Reason.ESCALATED, Reason.EASY}


def share_thresholds(
    ledger: Ledger, routing: Routing, workloads: Collection[str], artifact: str, now: int
) -> dict[str, float]:
    """The threshold of each of these workloads that has enough scores by the artifact with this hash; `now` is in
    microseconds since the Unix epoch. Raises LedgerError.
    """
    turns, found = _turns(ledger, now), {}
    for workload in sorted(workloads):
        seen = ledger.road.newest_scores(workload, artifact, NEWEST_SCORES)
        share = share_of_decisions(
            routing.teacher_share, turns[workload, Route.TEACHER], turns[workload, Route.STUDENT]
        )
        threshold = share_threshold(seen, routing.novelty_threshold, share)
        if threshold is not None:
            found[workload] = threshold
    return found


def _turns(ledger: Ledger, now: int) -> dict[tuple[str, str], Turns]:
    """By workload and route."""
    found: defaultdict[tuple[str, str], Turns] = defaultdict(Turns)
    since = (now - _COUNTED) // HOUR * HOUR
    for one in ledger.sums(("workload", "route", "reason"), since):
        workload, route, reason = (str(part) for part in one.group)
        known = found[workload, route]
        if reason in _DECIDED:
            found[workload, route] = known._replace(decided=known.decided + one.requests)
        elif reason == Reason.STICKY:
            found[workload, route] = known._replace(followed=known.followed + one.requests)
    return found
