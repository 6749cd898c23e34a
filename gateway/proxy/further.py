"""Requests to further models, which clients name: the plan of one, without a decision of the router."""

from __future__ import annotations

from breakeven.gateway.proxy.exchange import Exchange, Plan
from breakeven.gateway.proxy.unavailable import unavailable
from breakeven.router.policy import Decision, Reason, Route


def plan_further(exchange: Exchange, name: str) -> Plan:
    """The plan of a request to the further model `name`, whose services the exchange has from then on. No fallback, no
    session, no comparison. Raises RequestError: 429 where it is at its limit, 503 where it is down.
    """
    services = exchange.services = exchange.services.for_model(name)
    decision = Decision(Route.MODEL, Reason.PINNED, None, services.policy.threshold, None)
    if not services.available:
        raise unavailable(exchange, decision)
    return Plan(decision)
