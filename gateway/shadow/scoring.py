"""Scoring a pair of answers: by the teacher as judge, or by a function that compares with the teacher's answer.

Imports `breakeven.models`, which the gateway otherwise does not need: import this module only for shadow traffic.
"""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import ConfigError, UpstreamFailure
from breakeven.gateway.wire.chat_text import Message
from breakeven.models.errors import DistillError
from breakeven.models.scoring import judge, scorers

# (messages, limit of output tokens, further body fields) -> the teacher's text, "" for an answer without text.
# Raises UpstreamFailure.
Ask = Callable[[list[Message], int, Mapping[str, Any]], Awaitable[str]]


class Question(NamedTuple):
    """The conversation, and both answers to it."""

    messages: list[Message]
    student: str
    teacher: str


class Scoring(abc.ABC):
    """One method of scoring a pair of answers."""

    @abc.abstractmethod
    async def scores(self, question: Question, ask: Ask) -> tuple[float, float] | None:
        """The student's and the teacher's score in [0, 1]; None if there is no verdict. `ask` calls the teacher."""


class _Judge(Scoring):
    """The teacher as judge, asked with both orders of the answers; without structured output if its API rejects it."""

    def __init__(self) -> None:
        self._structured = True

    async def scores(self, question: Question, ask: Ask) -> tuple[float, float] | None:
        pair = judge.Pair(question.messages, question.student, question.teacher)
        verdicts = []
        for index in range(2):
            verdict = judge.read_verdict(await self._ask_once(pair, index, ask))
            if verdict is None:
                return None
            verdicts.append(verdict)
        both = judge.combine(verdicts[0], verdicts[1])
        return both.student_score, both.teacher_score

    async def _ask_once(self, pair: judge.Pair, index: int, ask: Ask) -> str:
        call = judge.calls(pair, structured=self._structured)[index]
        try:
            return await ask(call.messages, call.max_tokens, call.more)
        except UpstreamFailure as failure:
            if not self._structured or failure.upstream_status not in (400, 422):
                raise
        self._structured = False
        return await self._ask_once(pair, index, ask)


class _Checker(Scoring):
    """A built-in checker or the operator's own function; the teacher's answer is the reference and scores 1."""

    def __init__(self, name: str) -> None:
        self._score = scorers.scorer(name)

    async def scores(self, question: Question, ask: Ask) -> tuple[float, float] | None:  # noqa: ARG002
        row = {"messages": question.messages}
        return self._score(question.student, question.teacher, row), 1.0


def scoring(config: Config) -> Scoring:
    """The scoring that `road.scorer` names. Raises ConfigError if the function cannot be loaded."""
    name = config.road.scorer
    if name == "judge":
        return _Judge()
    try:
        return _Checker(name)
    except DistillError as error:
        raise ConfigError([f"road.scorer: {error}"]) from None
