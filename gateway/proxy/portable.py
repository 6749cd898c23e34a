"""Asking an upstream again without what only another one may have made, such as what a model thought."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from breakeven.gateway.errors import UpstreamFailure
from breakeven.gateway.proxy.exchange import Exchange
from breakeven.gateway.proxy.providers import REFUSED
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Route

_T = TypeVar("_T")


async def again(
    exchange: Exchange, upstream: Upstream, refusal: UpstreamFailure, ask: Callable[[], Awaitable[_T]]
) -> _T:
    """What `ask` makes of the request without what only another upstream may have made, where this one refused it with
    such. Raises the refusal if there is nothing to leave out, and after a second one; else as `ask` does.
    """
    try:
        if refusal.upstream_status not in REFUSED or upstream.route is Route.MODEL:
            raise refusal
        if not exchange.adapter.make_portable(exchange.admitted[0].body.copy(), upstream.route):
            raise refusal
        exchange.portable.add(upstream.label)
        try:
            return await ask()
        except UpstreamFailure as failure:
            if failure.upstream_status in REFUSED:
                raise refusal from None
            raise
    finally:
        # Its traceback has this frame: with its name here the two would be a cycle.
        del refusal
