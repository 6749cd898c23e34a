"""Conversations that requests left behind, as `breakeven distill harvest` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, and_, select

from breakeven.gateway.ledger.conversation_tables import conversations
from breakeven.gateway.ledger.rows import FEEDBACK, SHADOW
from breakeven.gateway.ledger.schema import comparisons, outcomes

# Kinds of conversations by who made the answer that is in them.
BY_TEACHER, BY_STUDENT = "teacher", "student"
_BATCH = 500


class Kept(NamedTuple):
    """One stored conversation with the answer to it, and what was measured of that.

    `kind`: BY_TEACHER or BY_STUDENT; `at`: microseconds since the epoch; `document` is what
    `gateway.proxy.keeping` made of it. The scores in [0, 1] are those of a comparison, drawn with probability
    1 / `weight`, with the student's `student_version` then; all None without. `feedback`: what a user said of the
    answer that the client got, which `feedback_on` made; None where nobody did.
    """

    request: str
    kind: str
    at: int
    workload: str
    document: dict[str, Any]
    student_score: float | None
    teacher_score: float | None
    weight: float | None
    student_version: str | None
    feedback: float | None
    feedback_on: str | None


def kept(connection: Connection, workload: str | None, since: int | None) -> Iterator[Kept]:
    """The stored conversations of a workload, None for all, from `since` on, oldest first."""
    c, shadow, said = conversations.c, outcomes.alias("compared"), outcomes.alias("said")
    wanted = (
        select(c.request, c.kind, c.at, c.workload, c.document)
        .add_columns(shadow.c.student_score, shadow.c.teacher_score, shadow.c.weight, comparisons.c.student_version)
        .add_columns(said.c.student_score.label("said_student"), said.c.teacher_score.label("said_teacher"))
        .select_from(conversations)
        .outerjoin(shadow, and_(shadow.c.request == c.request, shadow.c.source == SHADOW))
        .outerjoin(comparisons, and_(comparisons.c.request == c.request, comparisons.c.source == SHADOW))
        .outerjoin(said, and_(said.c.request == c.request, said.c.source == FEEDBACK))
        .where(c.kind.in_((BY_TEACHER, BY_STUDENT)))
        .order_by(c.at, c.request, c.kind)
    )
    if workload is not None:
        wanted = wanted.where(c.workload == workload)
    if since is not None:
        wanted = wanted.where(c.at >= since)
    for row in connection.execute(wanted.execution_options(yield_per=_BATCH)):
        document = msgspec.json.decode(row[4], type=dict[str, Any])
        of_student, of_teacher = row[9], row[10]
        feedback = of_teacher if of_student is None else of_student
        made_by = None if feedback is None else BY_TEACHER if of_student is None else BY_STUDENT
        request, kind, at, of, _, student, teacher, weight, version, *_ = row
        yield Kept(request, kind, at, of, document, student, teacher, weight, version, feedback, made_by)
