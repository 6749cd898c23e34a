"""What keeps a workload from going on, said to the operator: no consent, a judge without verdicts or one that does not
read the answers, or one that people contradict.
"""

from __future__ import annotations

from breakeven.gateway.config.schema import Config
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.road.audit import trust
from breakeven.gateway.road.holding import Facts
from breakeven.gateway.road.judges import judges
from breakeven.gateway.road.stages import State
from breakeven.gateway.runtime.services import Services

# The share of comparisons without a verdict, of at least so many, above which nothing is concluded from the others.
_VERDICTS, _WITHOUT_VERDICT = 20, 0.2


def facts(services: Services, state: State, *, due: bool, unjudged: str | None) -> Facts:
    """What may hold a workload. An obstacle to training is only looked for where the next look is `due`; `unjudged` is
    what `without_verdicts` said last. Raises LedgerError.
    """
    return Facts(
        operator=services.operator_routes,
        loaded=state.promised is None or state.promised.artifact in services.state.units.artifacts,
        sampled=services.config.road.sample > 0.0,
        unjudged=unjudged,
        obstacle=obstacle(services.ledger, state, services.config) if due else None,
    )


def without_verdicts(ledger: Ledger, state: State, config: Config) -> str | None:
    """What is to be said where too many comparisons end without a verdict, or a judge's verdicts measure nothing; None
    for nothing. Raises LedgerError.
    """
    since = max(state.measured_since, state.live)
    pairs = ledger.judged_pairs.pairs(state.workload, since, state.student)
    silent = [one.name for one in judges([one.judged for one in pairs if one.judged]) if not one.consistency.reads]
    if silent:
        return (
            f"the verdicts of {', '.join(silent)} depend on the order of the answers, as `breakeven road` shows, and "
            "measure nothing: choose another road.judge"
        )
    scored, without = ledger.road.verdicts(state.workload, since, judged=config.road.scorer == "judge")
    if scored + without < _VERDICTS or without <= _WITHOUT_VERDICT * (scored + without):
        return None
    # Without figures, so that each further comparison is not an event of its own.
    return (
        "many comparisons end without a verdict of road.scorer, so that the others may not be like all requests: mend "
        "the judge, or choose another road.judge or road.scorer; breakeven_comparisons_total has them by result"
    )


def obstacle(ledger: Ledger, state: State, config: Config) -> str | None:
    """What keeps a router from being trained; None for nothing. Raises LedgerError."""
    if not config.ledger.store_prompts:
        return "ledger.store_prompts is off: quality is measured, but no router can be trained on the prompts"
    fault = without_verdicts(ledger, state, config)
    if fault is not None:
        return fault
    found = trust(ledger.conversations.audited(state.workload, state.scored_since, state.student))
    if found is not None and found.confirmed(config.road.floor) is False:
        # Without figures, so that each further verdict is not an event of its own.
        return (
            "people do not confirm road.scorer, as `breakeven road` shows: choose another road.judge or road.scorer, "
            f"or have more pairs judged with `breakeven road audit --workload {state.workload}`"
        )
    return None
