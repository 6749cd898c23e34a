"""Scoring a pair of answers: calls by name and arguments, texts by the scorer, what cannot be read not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.gateway.comparing.scoring import Question, scores, scoring
from breakeven.gateway.config.schema import Config
from breakeven.gateway.wire.answers import Answer, Call
from breakeven.models.scoring.tool_calls import agreement

CONFIG: dict[str, Any] = {
    "teacher": {"base_url": "http://h/v1", "model": "big", "usd_per_million": {"input": 1, "output": 1}},
}
A, B, C = Call("f", '{"a": 1}'), Call("f", '{"a": 2}'), Call("g", "")


async def _nobody(messages: list[dict[str, Any]], limit: int, more: Mapping[str, Any]) -> str:
    raise AssertionError("no judge was to be asked")


def scored(scorer: str, student: Answer, teacher: Answer, *, json_only: bool = False) -> tuple[float, float] | None:
    found = scoring(Config.model_validate({**CONFIG, "road": {"scorer": scorer}}))
    made = asyncio.run(scores(found, Question([], student, teacher, json_only), [_nobody]))
    assert made is None or made.letters == ()
    return None if made is None else (made.student, made.teacher)


@pytest.mark.parametrize(
    ("student", "teacher", "share"),
    [
        ((A, B), (B, A), 1.0), ((A,), (A, B), 2 / 3), ((A, A), (A,), 2 / 3), ((A,), (B,), 0.0), ((), (A,), 0.0),
        ((Call("f", '{"a": 1.0}'),), (A,), 1.0), ((Call("f", '{"a": true}'),), (A,), 0.0),
        ((Call("g", "{}"),), (C,), 1.0), ((Call("h", '{"a": 1}'),), (A,), 0.0),
        ((Call("c", " ls -l"),), (Call("c", "ls -l"),), 1.0),
    ],
)  # fmt: skip
def test_calls_agree_by_name_and_arguments(student: tuple[Call, ...], teacher: tuple[Call, ...], share: float) -> None:
    assert agreement(student, teacher) == pytest.approx(share)


@given(st.permutations([A, B, C, A]))
def test_the_order_of_calls_does_not_matter(calls: list[Call]) -> None:
    assert agreement(tuple(calls), (A, A, B, C)) == 1.0


def test_an_answer_without_anything_loses_and_a_teachers_says_nothing() -> None:
    assert scored("judge", Answer(" "), Answer("x")) == (0.0, 1.0)
    assert scored("judge", Answer("x"), Answer("")) is None
    assert scored("judge", Answer("x "), Answer("x")) == (1.0, 1.0)
    # A text instead of a call, and a call instead of a text.
    assert scored("exact", Answer("x"), Answer("x", (A,))) == (0.0, 1.0)
    assert scored("exact", Answer("x", (A,)), Answer("x")) == (0.0, 1.0)


def test_a_teachers_answer_that_the_checker_cannot_read_gives_no_verdict() -> None:
    assert scored("numeric", Answer("7"), Answer("seven")) is None
    assert scored("exact", Answer("{}"), Answer("no json"), json_only=True) is None
    assert scored("exact", Answer('{"a":1}'), Answer('{"a": 1}'), json_only=True) == (1.0, 1.0)
