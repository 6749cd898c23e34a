"""An example with the answers of both, and its scores: by calls of tools, JSON, or a scorer of texts."""

from __future__ import annotations

import json
from typing import NamedTuple

from breakeven.models.client.chat import Reply
from breakeven.models.data.rows import Example
from breakeven.models.evaluate import report as evaluation
from breakeven.models.evaluate.judges import JudgedPair
from breakeven.models.scoring.scorers import Scorer, scorer
from breakeven.models.scoring.tool_calls import NamedCall, agreement, named

# Scorers that compare texts as such.
_TEXTUAL = ("exact", "numeric", "contains", "choice")


class Answered(NamedTuple):
    """An example with both answers; `teacher` is None if its answer is the row's."""

    example: Example
    student: Reply
    teacher: Reply | None

    def teacher_text(self) -> str:
        """The text of the teacher's answer."""
        return self.example.answer if self.teacher is None else self.teacher.text

    def calls(self) -> tuple[list[NamedCall], list[NamedCall]]:
        """The calls of tools that the student and the teacher made."""
        by_teacher = self.example.calls() if self.teacher is None else self.teacher.tool_calls
        return named(self.student.tool_calls), named(by_teacher)

    def judged_pair(self) -> JudgedPair:
        """What a report on the judges needs of it. Raises DistillError for a label that is none."""
        return JudgedPair(len(self.student.text), len(self.teacher_text()), evaluation.label(self.example))


def by_calls(one: Answered) -> evaluation.Scored:
    """Scores by the calls of tools that both made, whatever texts are scored by; the teacher's score 1."""
    by_student, by_teacher = one.calls()
    found = agreement(by_student, by_teacher)
    return evaluation.Scored(one.example, one.student, one.teacher, one.teacher_text(), found, 1.0)


def score(one: Answered, by: Scorer, name: str) -> evaluation.Scored:
    """Scores by a scorer with this name against the row's reference; without one, against the teacher's answer, which
    then scores 1.
    """
    known = reference(one.example)
    if known is None and name in _TEXTUAL and _json_only(one.example):
        # Answers that must be JSON are compared as such, whatever texts are compared by.
        by = scorer("json")
    right = one.teacher_text() if known is None else known
    student = by(one.student.text, right, one.example.record)
    teacher = 1.0 if known is None else by(one.teacher_text(), right, one.example.record)
    return evaluation.Scored(one.example, one.student, one.teacher, one.teacher_text(), student, teacher)


def _json_only(example: Example) -> bool:
    form = example.asked().get("response_format")
    return isinstance(form, dict) and form.get("type") in ("json_object", "json_schema")


def reference(example: Example) -> str | None:
    """The known right answer in a row, as text; None without one."""
    value = example.record.get("reference")
    return None if value is None else value if isinstance(value, str) else json.dumps(value)
