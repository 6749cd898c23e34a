"""One comparison: the other upstream's answer to a drawn request, the scores of both, and a record of all calls."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from breakeven.gateway.accounting.record import ComparisonResult, Outcome, Pair, RequestRecord, Verdicts
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.comparing.call import call
from breakeven.gateway.comparing.candidate import said_of
from breakeven.gateway.comparing.refused import send_accepted, verdict
from breakeven.gateway.comparing.scoring import Ask, Question, Scored, Scoring, scores
from breakeven.gateway.config.routing import Escalation
from breakeven.gateway.economics.breakeven import value
from breakeven.gateway.economics.traffic import Value
from breakeven.gateway.endpoints.chat import ChatCompletions
from breakeven.gateway.errors import UpstreamFailure
from breakeven.gateway.ledger.conversation_tables import COMPARISON
from breakeven.gateway.ledger.conversations import pair_document
from breakeven.gateway.ledger.keeping import Waiting
from breakeven.gateway.ledger.kept import BY_TEACHER
from breakeven.gateway.proxy.attempt_state import Attempt
from breakeven.gateway.proxy.keeping import Answered, waiting
from breakeven.gateway.proxy.providers import REFUSED
from breakeven.gateway.proxy.upstream_request import Aside, Prepared, compared
from breakeven.gateway.road.stages import Direction
from breakeven.gateway.runtime.comparison_queue import Drawn
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire.answers import read_answer
from breakeven.gateway.wire.chat_text import Message
from breakeven.gateway.wire.ids import fresh_id
from breakeven.gateway.wire.logprobs import first_logprobs
from breakeven.router.deferral import confidence
from breakeven.router.policy import Reason, Route

_CHAT = ChatCompletions()
_NOTHING = Value(0, 0)


def judges_of(services: Services) -> list[Upstream]:
    """The upstreams that judge: the models that `road.judge` names, else the teacher."""
    names = services.config.road.judges
    return [services.models[name] for name in names] if names else [services.upstreams[Route.TEACHER]]


class Comparison:
    """The comparison of one drawn request."""

    def __init__(self, services: Services, drawn: Drawn, scoring: Scoring, candidate: Upstream | None = None) -> None:
        """`candidate` is asked, too, once both answers are compared. `of_candidate` is then what became of that. `id`
        is that of the record.
        """
        self.services = services
        self.id = fresh_id()
        self.of_candidate: ComparisonResult | None = None
        self._candidate = candidate
        self._candidate_pair: Pair | msgspec.UnsetType = msgspec.UNSET
        self._drawn = drawn
        self._scoring = scoring
        self._attempts: list[Attempt] = []
        # The one that the other answer came from.
        self._asked: Attempt | None = None
        self._judges = judges_of(services)
        self._pair: Pair | None = None
        self._at = time.time_ns() // 1000
        self._started = time.perf_counter()

    async def run(self) -> ComparisonResult:
        """Ask the other upstream and score both answers. Raises RequestError, and what a scorer raises."""
        drawn = self._drawn
        if read_answer(drawn.answer) is None:
            return ComparisonResult.UNREADABLE
        data, usage = await self._other()
        of_client = drawn.answer, drawn.record.attempts[-1].usage
        by_student, by_teacher, by_candidate = (data, usage), of_client, None
        if drawn.by_candidate:
            # The student is asked for what it would have answered in its own place.
            by_candidate, by_teacher = of_client, by_student
            by_student = await self._answer_of(self.services.upstreams[Route.STUDENT])
        elif drawn.direction is Direction.STUDENT_ANSWERED:
            by_student, by_teacher = by_teacher, by_student
        student, teacher = read_answer(by_student[0]), read_answer(by_teacher[0])
        if student is None or teacher is None:
            return ComparisonResult.UNREADABLE
        asked = drawn.body.copy()
        question = Question(drawn.adapter.dialogue(asked), student, teacher, drawn.adapter.json_only(asked))
        found = await scores(self._scoring, question, self._asking())
        if found is None:
            return ComparisonResult.UNREADABLE
        version = self.services.upstreams[Route.STUDENT].version
        self._pair = self._paired(found, by_student[1], by_teacher[1], self._logprob(by_student[0]), version)
        if found.letters:
            self._pair = msgspec.structs.replace(self._pair, verdicts=self._verdicts(found, question))
        if self.services.config.ledger.store_conversations:
            self._keep(question, by_teacher[0])
        if self._candidate is not None:
            try:
                answered = by_candidate or await self._answer_of(self._candidate)
                self.of_candidate = await self._compare_candidate(answered, question, by_teacher[1])
            except Exception as error:  # the student's comparison holds, whatever fails here
                self.of_candidate = said_of(error)
        return ComparisonResult.COMPARED

    async def _compare_candidate(
        self, answered: tuple[bytes, Usage], question: Question, teacher_usage: Usage
    ) -> ComparisonResult:
        """Score the candidate's answer beside the teacher's. Raises as `run` does."""
        assert self._candidate is not None
        data, usage = answered
        answer = read_answer(data)
        found = None
        if answer is not None:
            found = await scores(self._scoring, question._replace(student=answer), self._asking())
        if found is None:
            return ComparisonResult.UNREADABLE
        logprob = self._logprob_of(data)
        self._candidate_pair = self._paired(found, usage, teacher_usage, logprob, self._candidate.version)
        return ComparisonResult.COMPARED

    def record(self) -> RequestRecord:
        """The settled record of all calls of this comparison."""
        last = self._attempts[-1] if self._attempts else None
        # Whatever became of the candidate.
        done = self._pair is not None or last is None
        without_calls = Outcome.OK if self._pair is not None else Outcome.GATEWAY_ERROR
        return RequestRecord(
            id=self.id,
            request_id=self._drawn.record.id,
            at=self._at,
            endpoint=self._drawn.record.endpoint,
            key=None,
            stream=False,
            route=self._drawn.asked,
            reason=Reason.SHADOW,
            pinned=False,
            score=None,
            threshold=None,
            novelty=None,
            artifact=self._drawn.record.artifact,
            outcome=without_calls if done or last is None else last.outcome,
            status=200 if done or last is None else last.status or 502,
            attempts=tuple(
                attempt.record(self._paid_by(attempt), len(self._drawn.body) // 4, learn=False)
                for attempt in self._attempts
            ),
            baseline=0,
            router_seconds=None,
            overhead_seconds=None,
            seconds=time.perf_counter() - self._started,
            pair=self._pair,
            workload=self._drawn.record.workload,
            candidate=self._candidate_pair,
        )

    def _paid_by(self, attempt: Attempt) -> Services:
        """The services with the prices of an attempt's upstream."""
        return self.services.for_model(attempt.provider) if attempt.route is Route.MODEL else self.services

    def _paired(
        self, found: Scored, student_usage: Usage, teacher_usage: Usage, logprob: float | None, version: str
    ) -> Pair:
        record, price = self._drawn.record, self.services.price
        # What one of them did not report must not pass for a price of 0.
        known = student_usage.complete and teacher_usage.complete
        worth, paid = (value(student_usage, price), value(teacher_usage, price)) if known else (_NOTHING, _NOTHING)
        return Pair(
            request=record.id,
            at=record.at,
            score=record.score,
            novelty=record.novelty,
            artifact=record.artifact or "",
            student_score=found.student,
            teacher_score=found.teacher,
            student_tokens=student_usage.output,
            teacher_tokens=teacher_usage.output,
            weight=1.0 / self._drawn.probability,
            student_input_value=worth.input,
            student_output_value=worth.output,
            teacher_input_cost=paid.input,
            teacher_output_cost=paid.output,
            key=record.key or "",
            workload=record.workload,
            direction=self._drawn.direction,
            student_version=version,
            teacher_version=self.services.upstreams[Route.TEACHER].version,
            logprob=logprob,
        )

    def _asking(self) -> list[Ask]:
        return [functools.partial(self._ask_judge, one) for one in self._judges]

    def _verdicts(self, found: Scored, question: Question) -> Verdicts:
        names = [one.provider or one.config.model for one in self._judges]
        said = dict(zip(names, found.letters, strict=True))
        return Verdicts(said, len(question.student.text), len(question.teacher.text))

    def _keep(self, question: Question, by_teacher: bytes) -> None:
        """Have the pair stored, and the teacher's answer with the conversation as it was sent, if it was asked here."""
        drawn, record, kept = self._drawn, self._drawn.record, self.services.state.kept
        size = len(drawn.body) + len(drawn.answer) + len(by_teacher)
        pair = functools.partial(pair_document, question.messages, question.student, question.teacher)
        kept.add(Waiting(record.id, COMPARISON, record.at, record.workload, record.key or "", size, pair))
        if drawn.direction is Direction.STUDENT_ANSWERED:
            teacher = self.services.upstreams[Route.TEACHER]
            assert self._asked is not None
            paid = self._asked.record(self.services, len(drawn.body) // 4, learn=False)
            kept.add(waiting(record, drawn.adapter, drawn.body, Answered(BY_TEACHER, by_teacher, teacher, paid)))

    def _logprob(self, student: bytes) -> float | None:
        """The mean log-probability of the first tokens of the student's answer, read as escalation reads it; None where
        the answer came without.
        """
        discarded = self._drawn.discarded
        # If a stream was discarded, its first tokens decided; the answer that is compared was made again.
        return self._logprob_of(student if discarded is None else discarded.data)

    def _logprob_of(self, data: bytes) -> float | None:
        if self._drawn.body.copy().boolean("echo"):
            return None
        rule = self.services.config.routing.escalation or Escalation()
        seen = confidence(first_logprobs(data, rule.probe_tokens))
        return None if seen is None else seen.mean

    async def _other(self) -> tuple[bytes, Usage]:
        """The answer of the upstream that did not answer the client, with its usage."""
        discarded = self._drawn.discarded
        if discarded is not None and discarded.whole:
            return discarded.data, discarded.usage
        found = await self._answer_of(self.services.upstreams[self._drawn.asked])
        self._asked = self._attempts[-1]
        return found

    async def _answer_of(self, upstream: Upstream) -> tuple[bytes, Usage]:
        return await self._ask(upstream), self._attempts[-1].usage

    async def _ask(self, upstream: Upstream) -> bytes:
        """Ask for an answer. A request that is refused is sent again without what may be the cause: the student's
        log-probabilities, which is remembered, and what models thought earlier.
        """
        drawn = self._drawn
        wanted = Aside(True, drawn.maker, upstream.route is Route.STUDENT and upstream.takes_logprobs)
        whole = compared(drawn.body, drawn.adapter, upstream, wanted)
        try:
            return await self._send(upstream, whole)
        except UpstreamFailure as failure:
            if failure.upstream_status not in REFUSED:
                raise
            refusal = failure
        bare = compared(drawn.body, drawn.adapter, upstream, wanted._replace(logprobs=False))
        thoughtless = compared(drawn.body, drawn.adapter, upstream, wanted._replace(thoughts=False))
        for again in (bare, thoughtless):
            if again.body == whole.body:
                continue
            try:
                data = await self._send(upstream, again)
            except UpstreamFailure as failure:
                if failure.upstream_status not in REFUSED:
                    raise
            else:
                upstream.takes_logprobs = upstream.takes_logprobs and again is not bare
                return data
        try:
            raise refusal
        finally:
            # Its traceback has this frame: with its name here the two would be a cycle.
            del refusal

    async def _send(self, upstream: Upstream, sent: Prepared) -> bytes:
        usual = {**sent.adapter.version_headers, **self._drawn.versions} if sent.adapter.version_headers else {}
        versions = {name: given for name, given in usual.items() if given and name not in upstream.config.headers}

        async def send(edited: Prepared) -> bytes:
            return await call(upstream, sent.adapter, edited.body, versions, self._attempts)

        return await send_accepted(upstream, sent, send)

    async def _ask_judge(
        self, judge: Upstream, messages: list[Message], limit: int, least: int, more: Mapping[str, Any]
    ) -> str:
        async def send(body: bytes) -> bytes:
            return await call(judge, _CHAT, body, {}, self._attempts)

        return await verdict(judge, (messages, limit, more), least, send)
