"""Kept conversations for the tests of a harvest."""

from __future__ import annotations

from typing import Any

from breakeven.models.harvest.kept import Kept


def kept(request: str, asked: str, *, said: str = "Paris.", reason: str = "observe", at: int = 0, **more: Any) -> Kept:
    """A conversation with the teacher's answer; of `more` the fields of Kept, the others are the document's."""
    fields = {name: more.pop(name) for name in list(more) if name in Kept._fields}
    document = {
        "messages": [{"role": "user", "content": asked}],
        "answer": {"role": "assistant", "content": said},
        "finish": "stop",
        "reason": reason,
        "hold": None,
        "model": "big",
        "version": "big@1",
        "usage": {"prompt_tokens": 10, "output_tokens": 3},
        "cost": 1_000_000,
    } | more
    given: dict[str, Any] = {"by_teacher": True, "workload": "default", **fields}
    return Kept(request=request, at=at, document=document, **given)


def compared(request: str, asked: str, student: float, teacher: float = 1.0, **more: Any) -> Kept:
    """One whose student answered too."""
    scores = {"student_score": student, "teacher_score": teacher, "weight": 1.0, "student_version": "small"}
    return kept(request, asked, **scores | more)
