"""With `start: share`, the threshold of each workload follows its own traffic."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from breakeven.gateway.errors import LedgerError
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.runtime.share_thresholds import share_thresholds
from breakeven.gateway.server.reload import Current

_log = logging.getLogger("breakeven.road")

_REFRESH_SECONDS = 5.0


async def follow_traffic(current: Current) -> None:
    """Until cancelled: every few seconds, and after a reload, set the thresholds from the scores in the ledger. All
    gateways of a ledger find the same ones. Those in force stay while it cannot be read.
    """
    failed = False
    while True:
        services = current()
        while services.config.routing.start != "share":
            await current.next_reload()
            services = current()
        try:
            services.state.units.share_thresholds = await asyncio.to_thread(thresholds, services)
            failed = False
        except LedgerError as error:
            if not failed:
                _log.warning(
                    "the thresholds of start: share stay as they are, since the ledger cannot be read: %s", error
                )
            failed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REFRESH_SECONDS):
                await current.next_reload()


def thresholds(services: Services) -> dict[str, float]:
    """The threshold of each workload that has enough scores by the artifact in use. Raises LedgerError."""
    now, routing = time.time_ns() // 1000, services.config.routing
    return share_thresholds(services.ledger, routing, services.workloads, services.artifact.hash, now)
