"""The prompts that the demo sends, each with both recorded answers, their token counts and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from breakeven.router import outcomes


class Recorded(msgspec.Struct, frozen=True):
    """A recorded answer with the token counts of its call and its score in [0, 1].

    `tokens` are those of the answer with the log-probabilities `logprobs`; both empty where they were not recorded.
    """

    answer: str
    prompt_tokens: int
    output_tokens: int
    score: float
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()


class DemoRow(msgspec.Struct, frozen=True):
    """A prompt with the recorded answers of student and teacher."""

    id: str
    category: str
    prompt: str
    student: Recorded
    teacher: Recorded


def from_outcomes(path: Path, split: str | None, estimate_tokens: Callable[[str], int]) -> list[DemoRow]:
    """Read an outcome file whose rows have both responses (`student_response`, `teacher_response`).

    Only rows of `split` are used; None: `test`, if any row has it. Output token counts are the row's `student_tokens`
    and `teacher_tokens`; where they are absent, and for prompts, they are estimated from the text. A prompt that
    occurs twice is used once. Raises OutcomeError.
    """
    rows = outcomes.read([path], split or outcomes.default_split([path], "test"))
    found = []
    for row in rows:
        prompt = row.record.get("prompt")
        answers = [row.record.get(f"{side}_response") for side in ("student", "teacher")]
        if not isinstance(prompt, str) or not all(isinstance(answer, str) for answer in answers):
            raise outcomes.OutcomeError(
                f"{path}: row {row.id}: the demo needs prompt, student_response and teacher_response in each row"
            )
        sides = []
        for side, answer, score in zip(
            ("student", "teacher"), answers, (row.student_score, row.teacher_score), strict=True
        ):
            tokens = row.record.get(f"{side}_tokens")
            count = tokens if isinstance(tokens, int) else estimate_tokens(str(answer))
            sides.append(Recorded(str(answer), estimate_tokens(prompt), count, score))
        found.append(DemoRow(row.id, row.category or "none", prompt, *sides))
    return once_each(found)


class _Recording(Protocol):
    """A row of a recorded set in `breakeven.models.recorded`."""

    @property
    def id(self) -> str: ...
    @property
    def category(self) -> str: ...
    @property
    def prompt(self) -> str: ...
    @property
    def student(self) -> str: ...
    @property
    def student_score(self) -> float: ...
    @property
    def student_prompt_tokens(self) -> int: ...
    @property
    def student_tokens(self) -> int: ...
    @property
    def tokens(self) -> tuple[str, ...]: ...
    @property
    def logprobs(self) -> tuple[float, ...]: ...
    @property
    def teacher(self) -> str: ...
    @property
    def teacher_score(self) -> float: ...
    @property
    def teacher_prompt_tokens(self) -> int: ...
    @property
    def teacher_tokens(self) -> int: ...


def from_recorded(recordings: Iterable[_Recording]) -> list[DemoRow]:
    """The rows of a shipped recorded set, each prompt once."""
    return once_each(
        DemoRow(
            r.id,
            r.category,
            r.prompt,
            Recorded(r.student, r.student_prompt_tokens, r.student_tokens, r.student_score, r.tokens, r.logprobs),
            Recorded(r.teacher, r.teacher_prompt_tokens, r.teacher_tokens, r.teacher_score),
        )
        for r in recordings
    )


def once_each(rows: Iterable[DemoRow]) -> list[DemoRow]:
    """The rows without repeated prompts, since a replay server looks answers up by the prompt's text."""
    return list({row.prompt: row for row in reversed(list(rows))}.values())[::-1]
