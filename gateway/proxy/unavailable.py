"""What a request gets that was decided for an upstream which accepts none now."""

from __future__ import annotations

from breakeven.gateway.errors import RequestError
from breakeven.gateway.proxy.exchange import Exchange, Plan
from breakeven.gateway.proxy.providers import Providers
from breakeven.gateway.runtime.services import Services
from breakeven.router.policy import Decision, Route


def unavailable(exchange: Exchange, decision: Decision, providers: Providers | None = None) -> RequestError:
    """The error of a request that was decided so, as `overloaded` gives it. The decision becomes the exchange's plan,
    so that the response's headers and the record say what it was.
    """
    exchange.plan = Plan(decision)
    return overloaded(exchange.services, decision.route, providers)


def overloaded(services: Services, route: Route, providers: Providers | None = None) -> RequestError:
    """The error where no upstream that could answer may be called: 429 when full, 503 when down. `providers` are those
    of the teacher that could.
    """
    upstreams = [services.upstreams[route]] if providers is None or route is Route.STUDENT else providers.upstreams
    if any(upstream.breaker.allows for upstream in upstreams):
        return RequestError(
            429,
            f"The {route} is at its limit of concurrent requests; try again.",
            type="rate_limit_error",
            code="rate_limit_exceeded",
            headers={"retry-after": "1"},
        )
    seconds = max(1, round(min(upstream.breaker.retry_after_seconds() for upstream in upstreams)))
    return RequestError(
        503,
        f"The {route} has failed repeatedly and its circuit breaker is open; try again.",
        type="server_error",
        code="upstream_unavailable",
        headers={"retry-after": str(seconds)},
    )
