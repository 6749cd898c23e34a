"""With `start: share`, the threshold of each workload follows its own traffic."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from breakeven.gateway.errors import LedgerError
from breakeven.gateway.road.share import NEWEST_SCORES, share_threshold
from breakeven.gateway.runtime.services import Services
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
    routing, found = services.config.routing, {}
    for workload in sorted(services.workloads):
        seen = services.ledger.road.newest_scores(workload, services.artifact.hash, NEWEST_SCORES)
        threshold = share_threshold(seen, routing.novelty_threshold, routing.teacher_share)
        if threshold is not None:
            found[workload] = threshold
    return found
