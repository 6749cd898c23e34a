"""What keeps a workload from going on, said to the operator: no consent, a judge without verdicts, or one that people
contradict.
"""

from __future__ import annotations

from breakeven.gateway.config.schema import Config
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.road.audit import trust
from breakeven.gateway.road.stages import State

# The share of comparisons without a verdict, of at least so many, above which nothing is concluded from the others.
_VERDICTS, _WITHOUT_VERDICT = 20, 0.2


def obstacle(ledger: Ledger, state: State, config: Config) -> str | None:
    """What keeps a router from being trained; None for nothing. Raises LedgerError."""
    if not config.ledger.store_prompts:
        return "ledger.store_prompts is off: quality is measured, but no router can be trained on the prompts"
    judged, without = ledger.road.verdicts(state.workload, state.measured_since)
    if judged + without >= _VERDICTS and without > _WITHOUT_VERDICT * (judged + without):
        return (
            f"{without} of {judged + without} comparisons ended without a verdict of road.scorer: the others "
            "may not be like all requests; look at the log, and mend the judge or choose another one"
        )
    found = trust(ledger.conversations.audited(state.workload, state.scored_since, state.student))
    if found is not None and found.confirmed(config.road.floor) is False:
        # Without figures, so that each further verdict is not an event of its own.
        return (
            "people do not confirm road.scorer, as `breakeven road` shows: choose another road.judge or road.scorer, "
            f"or have more pairs judged with `breakeven road audit --workload {state.workload}`"
        )
    return None
