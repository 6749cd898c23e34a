"""What decides the requests of each workload now, for the metrics."""

from __future__ import annotations

from breakeven.gateway.observability.road import Routing
from breakeven.gateway.runtime.services import Services


def routing(services: Services) -> dict[str, Routing]:
    """By workload; empty without a student."""
    if services.config.student is None:
        return {}
    states = {} if services.operator_routes else services.state.units.states
    found = {}
    for workload in sorted(services.workloads | states.keys()):
        unit = services.unit(workload)
        margin = states[workload].margin if workload in states else None
        found[workload] = Routing(unit.stage, unit.policy.threshold if unit.routes else None, margin)
    return found
