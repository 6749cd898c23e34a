"""What the demo plays: prompts with both recorded answers, their token counts and their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from breakeven.router import outcomes


class Recorded(msgspec.Struct, frozen=True):
    """One answer as recorded, with the token counts of its call and its score in [0, 1]."""

    answer: str
    prompt_tokens: int
    output_tokens: int
    score: float


class DemoRow(msgspec.Struct, frozen=True):
    """One prompt and both answers."""

    id: str
    category: str
    prompt: str
    student: Recorded
    teacher: Recorded


def from_outcomes(path: Path, split: str | None, estimate_tokens: Callable[[str], int]) -> list[DemoRow]:
    """Outcome rows that carry both responses (`student_response`, `teacher_response`).

    Token counts are those of the row where it has them (`student_tokens`, `teacher_tokens`), and estimated
    from the texts where it does not. Raises OutcomeError.
    """
    rows = outcomes.read([path], split or outcomes.default_split([path], "test"))
    played = []
    for row in rows:
        prompt = row.record.get("prompt")
        answers = [row.record.get(f"{side}_response") for side in ("student", "teacher")]
        if not isinstance(prompt, str) or not all(isinstance(answer, str) for answer in answers):
            raise outcomes.OutcomeError(
                f"{path}: row {row.id}: to be played a row needs prompt, student_response and teacher_response"
            )
        sides = []
        for side, answer, score in zip(
            ("student", "teacher"), answers, (row.student_score, row.teacher_score), strict=True
        ):
            tokens = row.record.get(f"{side}_tokens")
            count = tokens if isinstance(tokens, int) else estimate_tokens(str(answer))
            sides.append(Recorded(str(answer), estimate_tokens(prompt), count, score))
        played.append(DemoRow(row.id, row.category or "none", prompt, *sides))
    return once_each(played)


class _Recording(Protocol):
    """A row of the recorded set that ships in `models`."""

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
    def teacher(self) -> str: ...
    @property
    def teacher_score(self) -> float: ...
    @property
    def teacher_prompt_tokens(self) -> int: ...
    @property
    def teacher_tokens(self) -> int: ...


def from_recorded(recordings: Iterable[_Recording]) -> list[DemoRow]:
    """The recorded set."""
    return once_each(
        DemoRow(
            r.id,
            r.category,
            r.prompt,
            Recorded(r.student, r.student_prompt_tokens, r.student_tokens, r.student_score),
            Recorded(r.teacher, r.teacher_prompt_tokens, r.teacher_tokens, r.teacher_score),
        )
        for r in recordings
    )


def once_each(rows: Iterable[DemoRow]) -> list[DemoRow]:
    """Each prompt once: a replay server answers by the prompt's text."""
    return list({row.prompt: row for row in reversed(list(rows))}.values())[::-1]
