"""Scoring a pair of answers: by a model as judge, or by a function that compares with the teacher's answer.

Imports `breakeven.models`, which the gateway otherwise does not need: import this module only for comparisons.
"""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import ConfigError, UpstreamFailure
from breakeven.gateway.wire.answers import Answer
from breakeven.gateway.wire.chat_text import Message
from breakeven.models.errors import DistillError
from breakeven.models.scoring import judge, panel, scorers
from breakeven.models.scoring.tool_calls import agreement

# (messages, limit of output tokens, the limit where that is too much for it, further body fields) -> the judge's text,
# "" for an answer without text. Raises UpstreamFailure and VerdictCutOff.
Ask = Callable[[list[Message], int, int, Mapping[str, Any]], Awaitable[str]]


class Question(NamedTuple):
    """The conversation, and both answers to it; `json_only`: it demands an answer in JSON."""

    messages: list[Message]
    student: Answer
    teacher: Answer
    json_only: bool


class Scored(NamedTuple):
    """The student's and the teacher's score in [0, 1], and what each judge said, as `record.Verdicts` has it; empty
    where none was asked.
    """

    student: float
    teacher: float
    letters: tuple[str, ...] = ()


class Scoring(abc.ABC):
    """One method of scoring a pair of texts. `paid`: whether it calls a model."""

    paid: bool

    @abc.abstractmethod
    async def scores(self, question: Question, ask: Sequence[Ask]) -> Scored | None:
        """The scores; None if there is no verdict. `ask` calls the judges, one each."""


async def scores(scoring: Scoring, question: Question, ask: Sequence[Ask]) -> Scored | None:
    """The scores; None if there is no verdict. Only texts that differ need the
    scoring: calls of tools are compared with the teacher's, by name and arguments.
    """
    student, teacher = question.student, question.teacher
    if teacher.empty:
        return None
    if student.calls or teacher.calls:
        return Scored(agreement(student.calls, teacher.calls), 1.0)
    if student.text.strip() == teacher.text.strip():
        return Scored(1.0, 1.0)
    if student.empty:
        return Scored(0.0, 1.0)
    return await scoring.scores(question, ask)


class _Judges(Scoring):
    """Models as judges, each asked with both orders of the answers; without structured output if its API rejects it."""

    paid = True

    def __init__(self, rule: panel.Rule, max_tokens: int) -> None:
        self._rule = rule
        self._max_tokens = max_tokens
        # The judges, by their place, whose API rejects structured output.
        self._plain: set[int] = set()

    async def scores(self, question: Question, ask: Sequence[Ask]) -> Scored | None:
        pair = judge.Pair(question.messages, question.student.text, question.teacher.text)
        given = []
        for place, one in enumerate(ask):
            found = await self._judgement(pair, place, one)
            if found is None:
                return None
            given.append(found)
        both = panel.together([[one] for one in given], self._rule)[0]
        assert both is not None
        letters = tuple(one.letters + ("!" if one.contradicted else "") for one in given)
        return Scored(both.student_score, both.teacher_score, letters)

    async def _judgement(self, pair: judge.Pair, place: int, ask: Ask) -> judge.Judgement | None:
        verdicts = []
        for index in range(2):
            verdict = judge.read_verdict(await self._ask_once(pair, index, place, ask))
            if verdict is None:
                return None
            verdicts.append(verdict)
        return judge.combine(verdicts[0], verdicts[1])

    async def _ask_once(self, pair: judge.Pair, index: int, place: int, ask: Ask) -> str:
        structured = place not in self._plain
        call = judge.calls(pair, structured=structured, max_tokens=self._max_tokens)[index]
        try:
            return await ask(call.messages, call.max_tokens, call.least or call.max_tokens, call.more)
        except UpstreamFailure as failure:
            if not structured or failure.upstream_status not in (400, 422):
                raise
        self._plain.add(place)
        return await self._ask_once(pair, index, place, ask)


class _Checker(Scoring):
    """A built-in checker or the operator's own function; the teacher's answer is the reference and scores 1."""

    paid = False

    def __init__(self, name: str) -> None:
        self._score = scorers.scorer(name)
        self._own = ":" in name
        # Answers that must be JSON are compared as such, whatever texts are compared by.
        self._json = self._score if self._own else scorers.scorer("json")

    async def scores(self, question: Question, ask: Sequence[Ask]) -> Scored | None:  # noqa: ARG002
        row = {"messages": question.messages}
        score = self._json if question.json_only else self._score
        try:
            return Scored(score(question.student.text, question.teacher.text, row), 1.0)
        except DistillError:
            # The teacher's answer is none that the checker can read. A fault of one's own function is to be seen.
            if self._own:
                raise
            return None


def scoring(config: Config) -> Scoring:
    """The scoring that `road.scorer` names. Raises ConfigError if the function cannot be loaded."""
    name = config.road.scorer
    if name == "judge":
        return _Judges(config.road.panel, config.road.judge_max_tokens)
    try:
        return _Checker(name)
    except DistillError as error:
        raise ConfigError([f"road.scorer: {error}"]) from None
