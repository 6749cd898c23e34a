"""Outcome rows: scored answers as the router is trained on them."""

from __future__ import annotations

import json
from typing import Any

from breakeven.models.data.prompts import hashed_share
from breakeven.models.evaluate.report import Scored

# The test and dev splits of the outcome rows, by hash; the rest is for training the router.
_TEST_BELOW, _DEV_BELOW = 0.2, 0.4


def outcome_row(one: Scored, student: str) -> dict[str, Any]:
    """An outcome row of this student; its split is a hash of the prompt, so that one prompt is always in one split."""
    part = hashed_share(f"outcome:{json.dumps(one.example.prompt)}")
    row: dict[str, Any] = {"id": one.example.id, "messages": one.example.prompt, "student_model": student}
    row |= {"student_score": one.student_score, "teacher_score": one.teacher_score}
    row["split"] = "test" if part < _TEST_BELOW else "dev" if part < _DEV_BELOW else "train"
    if one.example.category is not None:
        row["category"] = one.example.category
    if one.student.usage.complete:
        row["student_prompt_tokens"], row["student_tokens"] = one.student.usage.prompt, one.student.usage.output
    if (tokens := one.teacher_tokens()) is not None:
        row["teacher_prompt_tokens"], row["teacher_tokens"] = tokens
    own, teacher = one.responses()
    return row | {"student_response": own, "teacher_response": teacher}
