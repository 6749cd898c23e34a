"""The operator's word on a workload: putting its proposal in force, and rolling back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Literal

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.road import Event, RoadStore
from breakeven.gateway.policy.active import Policies
from breakeven.gateway.road import machine
from breakeven.gateway.road.stages import State, read_state, write_state
from breakeven.router.model.artifact import SHIPPED, written_hash

_TRIES = 5
ROUTED = "the config's artifact or threshold, or the policy set through the admin API, says what routes; remove it"
Word = Literal["apply", "rollback"]
_WORDS: dict[Word, Callable[[State, int], State]] = {"apply": machine.applied, "rollback": machine.rolled_back}


def operator_routes(config: Config, ledger: Ledger) -> bool:
    """Whether the config or a policy of the admin API says what routes, for a command beside the gateway."""
    if config.operator_routes:
        return True
    artifact = written_hash(SHIPPED) or ""
    policies = Policies.beside_ledger(config, artifact, ledger if ledger.shared else None)
    policies.sync()
    return policies.active.source == "admin"


def say(store: RoadStore, workload: str, word: Word, who: str) -> State:
    """Change the state of a workload, for all gateways of the ledger within seconds. Returns the new one. `who` says
    so: console, api or command line.

    Raises BreakevenError where there is nothing to put in force or to roll back, LedgerError.
    """
    for _ in range(_TRIES):
        version, document = store.states().get(workload, (0, ""))
        state = read_state(workload, document) if document else State(workload)
        now = time.time_ns() // 1000
        try:
            new = _WORDS[word](state, now)
        except ValueError as error:
            raise BreakevenError(f"workload {workload}: {error}; see `breakeven road`") from None
        happened = event(state, new, now)
        if happened is not None:
            undo = {"kind": "road", "word": "rollback" if word == "apply" else "apply"}
            # What was in force is a proposal again only where nothing else is in force now.
            possible = word == "apply" or new.proposal is not None
            happened = happened._replace(who=who, undo=json.dumps(undo) if possible else None)
        if store.put_state(workload, version, write_state(new), happened):
            return new
    raise BreakevenError(f"workload {workload}: its state keeps changing; try again")


def event(before: State, after: State, now: int) -> Event | None:
    """What is said of a change: the reason of another stage, or what keeps it from going on; None for neither."""
    if after.stage != before.stage or (after.why != before.why and after.why):
        return Event(now, after.workload, after.stage, after.why)
    if after.held and after.held != before.held:
        return Event(now, after.workload, after.stage, after.held)
    return None
