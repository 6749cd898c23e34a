"""Conversations that a gateway has kept, as they are handed in: these modules do not know its ledger."""

from __future__ import annotations

from typing import Any, NamedTuple


class Kept(NamedTuple):
    """One conversation with an answer to it.

    `request` is its id, `at` microseconds since the epoch; `by_teacher` says who made the answer. `document` has the
    fields of a chat completion that the model was given (`messages`, `tools`, …), its `answer` as a message, `finish`,
    `model`, `version`, `reason` and `hold` of the decision, and where they were reported `usage` and `cost` in
    picodollars.

    `student_score` and `teacher_score`, in [0, 1], are those of a comparison that was drawn with probability
    1 / `weight`, with that `student_version`; None where nothing was compared. `feedback`, in [0, 1], is what a user
    said of the answer that the client got, and `on_teacher` whose that was; None where nobody did.
    """

    request: str
    by_teacher: bool
    at: int
    workload: str
    document: dict[str, Any]
    student_score: float | None = None
    teacher_score: float | None = None
    weight: float | None = None
    student_version: str | None = None
    feedback: float | None = None
    on_teacher: bool | None = None
