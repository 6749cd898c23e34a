"""The background worker of shadow traffic: asks the teacher for sampled requests, scores the pair, and settles.

No client request waits for it. Samples are dropped and counted if the queue is full, the teacher is busy or
unavailable, or the budget is spent. Each comparison ends in one settled record with all the calls that were paid for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from breakeven.gateway.accounting.money import picodollars
from breakeven.gateway.accounting.record import Endpoint, Outcome, Pair, RequestRecord, ShadowResult
from breakeven.gateway.economics.breakeven import value
from breakeven.gateway.errors import RequestError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.statements import shadow_spend
from breakeven.gateway.limits.monthly_spend import MonthlySpend
from breakeven.gateway.observability import log
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.proxy.upstream_request import NOT_HONOURED, one_output_limit
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.runtime.shadow_queue import ShadowSample
from breakeven.gateway.shadow.scoring import Question, Scoring, scoring
from breakeven.gateway.shadow.teacher_call import call
from breakeven.gateway.wire.chat_text import Message, flattened, whole_text
from breakeven.gateway.wire.ids import fresh_id
from breakeven.router.policy import Reason, Route

_log = logging.getLogger("breakeven.shadow")

_REFRESH_SECONDS = 10.0
# Fields that only concern delivery to the client, or storage at the upstream; removed from the teacher's request.
_DELIVERY_FIELDS = ("stream", "stream_options", "logprobs", "top_logprobs", "store")


class Shadow:
    """Processes the queue of sampled requests. The judge is the teacher's model as well."""

    def __init__(self, ledger: Ledger) -> None:
        self._spending = MonthlySpend(ledger, lambda month: {Reason.SHADOW: shadow_spend(ledger, month)})
        # The scoring in use, with the `road.scorer` that it was made for.
        self._scoring: tuple[str, Scoring] | None = None

    async def run(self, services: Callable[[], Services]) -> None:
        """Process the queue until cancelled, `shadow.concurrency` samples at a time. `services`: those in force now."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                sample = await services().state.drawn.get()
                while len(running) >= services().config.road.concurrency:
                    _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                running.add(asyncio.create_task(self._process(services(), sample)))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _process(self, services: Services, sample: ShadowSample) -> None:
        if services.config.road.sample <= 0:
            return
        teacher = services.upstreams[Route.TEACHER]
        # Half of the teacher's concurrency is reserved for client requests.
        if services.state.draining or not teacher.available or teacher.in_flight * 2 > teacher.config.max_concurrency:
            services.metrics.shadow.labels(ShadowResult.DROPPED_BUSY).inc()
        elif not await self._within_budget(services):
            services.metrics.shadow.labels(ShadowResult.DROPPED_BUDGET).inc()
        else:
            await self._compare(_Comparison(services, sample, lambda: self._scorer(services)))

    async def _within_budget(self, services: Services) -> bool:
        """Whether the monthly budget is not spent yet. False while the ledger cannot be read: the spend is unknown."""
        known = await self._spending.refresh(_REFRESH_SECONDS)
        return known and self._spending.of(Reason.SHADOW) < picodollars(services.config.road.monthly_budget_usd)

    def _scorer(self, services: Services) -> Scoring:
        name = services.config.road.scorer
        if self._scoring is None or self._scoring[0] != name:
            self._scoring = (name, scoring(services.config))
        return self._scoring[1]

    async def _compare(self, comparison: _Comparison) -> None:
        result = ShadowResult.FAILED
        try:
            result = await comparison.run()
        except RequestError as error:
            _log.info("shadow comparison failed: %s", type(error).__name__)
        except Exception as error:
            # The operator's own scorer may raise anything; later samples must still be processed.
            _log.error("shadow comparison failed with an internal error: %s", type(error).__name__, exc_info=error)
        finally:
            comparison.services.metrics.shadow.labels(result).inc()
            record = comparison.record()
            if record.attempts:
                self._spending.add(Reason.SHADOW, sum(attempt.cost.total for attempt in record.attempts))
                comparison.services.metrics.count_attempts(record)
                encoded = msgspec.json.encode(record)
                comparison.services.ledger.settle(record, encoded)
                log.settled(encoded)


class _Comparison:
    """One sampled request: the calls to the teacher, and the scores."""

    def __init__(self, services: Services, sample: ShadowSample, scoring: Callable[[], Scoring]) -> None:
        self.services = services
        self._sample = sample
        self._scoring = scoring
        self._attempts: list[Attempt] = []
        self._pair: Pair | None = None
        self._at = time.time_ns() // 1000
        self._started = time.perf_counter()

    async def run(self) -> ShadowResult:
        """Ask the teacher and score both answers. Raises UpstreamFailure, and what a scorer raises."""
        student = self._sample.capture.text()
        if student is None:
            return ShadowResult.UNREADABLE
        teacher = whole_text(await self._call(self._body()))
        if teacher is None:
            return ShadowResult.UNREADABLE
        usage = self._attempts[-1].usage
        scores = (1.0, 1.0) if student.strip() == teacher.strip() else await self._scores(student, teacher)
        if scores is None:
            return ShadowResult.UNREADABLE
        record = self._sample.record
        paid = value(usage, self.services.price)
        self._pair = Pair(
            request=record.id,
            at=record.at,
            score=record.score,
            novelty=record.novelty,
            artifact=record.artifact or "",
            student_score=scores[0],
            teacher_score=scores[1],
            student_tokens=record.attempts[-1].usage.output,
            teacher_tokens=usage.output,
            weight=1.0 / self._sample.rate,
            student_input_value=record.baseline_input,
            student_output_value=record.baseline_output,
            teacher_input_cost=paid.input,
            teacher_output_cost=paid.output,
            key=record.key or "",
            workload=record.workload,
        )
        return ShadowResult.COMPARED

    def record(self) -> RequestRecord:
        """The settled record of all calls of this comparison."""
        return RequestRecord(
            id=fresh_id(),
            request_id=self._sample.record.id,
            at=self._at,
            endpoint=Endpoint.CHAT_COMPLETIONS,
            key=None,
            stream=False,
            route=Route.TEACHER,
            reason=Reason.SHADOW,
            pinned=False,
            score=None,
            threshold=None,
            novelty=None,
            artifact=self.services.artifact.hash,
            outcome=self._attempts[-1].outcome if self._attempts else Outcome.GATEWAY_ERROR,
            status=(self._attempts[-1].status if self._attempts else None) or 502,
            attempts=tuple(
                attempt.record(self.services, len(self._sample.body) // 4, learn=False) for attempt in self._attempts
            ),
            baseline=0,
            router_seconds=None,
            overhead_seconds=None,
            seconds=time.perf_counter() - self._started,
            pair=self._pair,
            workload=self._sample.record.workload,
        )

    def _body(self) -> bytes:
        """The client's request as JSON for the teacher, without streaming."""
        config = self.services.upstreams[Route.TEACHER].config
        body = self._sample.body.copy()
        body.set("model", config.model)
        for name in (*NOT_HONOURED, *_DELIVERY_FIELDS):
            body.remove(name)
        one_output_limit(body, config.max_tokens_field)
        return body.encode()

    async def _scores(self, student: str, teacher: str) -> tuple[float, float] | None:
        messages: list[Any] = self._sample.body.get("messages", list[Any], "an array of messages") or []
        return await self._scoring().scores(Question(flattened(messages), student, teacher), self._ask_judge)

    async def _ask_judge(self, messages: list[Message], limit: int, more: Mapping[str, Any]) -> str:
        config = self.services.upstreams[Route.TEACHER].config
        field = config.max_tokens_field or "max_tokens"
        body = {"model": config.model, "messages": messages, field: limit, **more}
        return whole_text(await self._call(msgspec.json.encode(body))) or ""

    async def _call(self, body: bytes) -> bytes:
        return await call(self.services.upstreams[Route.TEACHER], body, self._attempts)
