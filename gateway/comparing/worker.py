"""The background worker that compares drawn requests: asks the other upstream, scores the pair, and settles.

No client waits for it. Requests are dropped and counted if the queue is full, an upstream is busy or unavailable, or
the budget is spent. Each comparison ends in one settled record with all the calls that were paid for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from breakeven.gateway.accounting.record import ComparisonResult
from breakeven.gateway.comparing.comparison import Comparison, judges_of
from breakeven.gateway.comparing.reserving import reserve, within_budget
from breakeven.gateway.comparing.scoring import Scoring, scoring
from breakeven.gateway.errors import RequestError, Untranslatable, UpstreamFailure, VerdictCutOff
from breakeven.gateway.ledger.budget_tables import COMPARISONS
from breakeven.gateway.observability import log
from breakeven.gateway.runtime.comparison_queue import Drawn
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.policy import Route

_log = logging.getLogger("breakeven.comparing")


class Comparer:
    """Processes the queue of drawn requests."""

    def __init__(self) -> None:
        # The scoring in use, with the settings of `road` that it was made for.
        self._scoring: tuple[tuple[str, tuple[str, ...], str, int], Scoring] | None = None

    async def run(self, services: Callable[[], Services]) -> None:
        """Process the queue until cancelled, `road.concurrency` requests at a time. `services`: those in force now."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                drawn = await services().state.drawn.get()
                while len(running) >= services().config.road.concurrency:
                    _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                running.add(asyncio.create_task(self._process(services(), drawn)))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _process(self, services: Services, drawn: Drawn) -> None:
        if services.config.road.sample <= 0 or Route.STUDENT not in services.upstreams:
            return
        scoring = self._scorer(services)
        paid = scoring.paid or drawn.asked is Route.TEACHER
        if services.state.draining or any(map(_busy, _needed(services, drawn, scoring))):
            self._count(services, drawn, ComparisonResult.DROPPED_BUSY)
        elif paid and not await within_budget(services):
            self._count(services, drawn, ComparisonResult.DROPPED_BUDGET)
        else:
            await _know(services.upstreams[Route.STUDENT])
            candidate = await _candidate(services, answered=drawn.by_candidate)
            comparison = Comparison(services, drawn, scoring, candidate)
            if paid and not await reserve(comparison, drawn, scoring):
                self._count(services, drawn, ComparisonResult.DROPPED_BUDGET)
            else:
                await self._compare(comparison, drawn)

    def _scorer(self, services: Services) -> Scoring:
        road = services.config.road
        named = road.scorer, road.judges, road.panel, road.judge_max_tokens
        if self._scoring is None or self._scoring[0] != named:
            self._scoring = (named, scoring(services.config))
        return self._scoring[1]

    async def _compare(self, comparison: Comparison, drawn: Drawn) -> None:
        services = comparison.services
        result = ComparisonResult.FAILED
        try:
            result = await comparison.run()
        except Untranslatable:
            result = ComparisonResult.UNREADABLE
        except RequestError as error:
            cause = error.cause if isinstance(error, UpstreamFailure) else None
            _log.info("a comparison failed: %s", cause or error.code or type(error).__name__)
        except VerdictCutOff as error:
            _log.warning("a comparison failed: %s", error)
        except Exception as error:
            # The operator's own scorer may raise anything; later requests must still be compared.
            _log.error("a comparison failed with an internal error: %s", type(error).__name__, exc_info=error)
        finally:
            self._count(services, drawn, result)
            if comparison.of_candidate is not None:
                services.metrics.candidate_compared(comparison.of_candidate)
            record, budgets = comparison.record(), services.state.quotas.budgets
            stored = bool(record.attempts) or record.pair is not None
            budgets.release(record.id, record if stored else None)
            if stored:
                budgets.add(COMPARISONS, record)
                services.metrics.count_attempts(record)
                encoded = msgspec.json.encode(record)
                services.ledger.settle(record, encoded)
                log.settled(record, encoded, services.config.log)

    @staticmethod
    def _count(services: Services, drawn: Drawn, result: ComparisonResult) -> None:
        services.metrics.compared(drawn.record.workload, drawn.direction, result)


def _needed(services: Services, drawn: Drawn, scoring: Scoring) -> list[Upstream]:
    """The upstreams that may be called: the one to be asked, unless its answer is known, and the judge."""
    known = drawn.discarded is not None and drawn.discarded.whole
    asked = [] if known else [services.upstreams[drawn.asked]]
    if drawn.by_candidate:
        asked.append(services.upstreams[Route.STUDENT])
    return [*asked, *judges_of(services)] if scoring.paid else asked


def _busy(upstream: Upstream) -> bool:
    """Whether an upstream is to be left to clients: half of its concurrency is reserved for them."""
    return not upstream.available or upstream.in_flight * 2 >= upstream.config.max_concurrency


async def _candidate(services: Services, *, answered: bool) -> Upstream | None:
    """The candidate that is to be asked, too; None without one, and where it is busy or down. `answered`: it has."""
    candidate = services.asked_candidate
    if candidate is None:
        return None
    if not answered and _busy(candidate):
        services.metrics.candidate_compared(ComparisonResult.DROPPED_BUSY)
        return None
    await _know(candidate)
    # It may be one that was dropped under its whole name.
    return services.asked_candidate


async def _know(student: Upstream) -> None:
    """Ask the student's server what it loaded, which is part of its version, if nobody has yet."""
    if student.reported is None and student.learning.due:
        student.reported = student.learning.learned(await student.fetch_reported(), None)
