"""Looking at single requests and comparisons: their attempts, what was measured of them, and what people said."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, select

from breakeven.gateway.ledger.conversation_tables import COMPARISON, audits, conversations
from breakeven.gateway.ledger.decisions import one
from breakeven.gateway.ledger.rows import COMPARED, FEEDBACK, SHADOW
from breakeven.gateway.ledger.schema import attempts, comparisons, cost_of, outcomes, prompts
from breakeven.gateway.ledger.tables import Tables

# The newest comparisons that are searched, and that the versions of students are told from.
MAX_COMPARED = 20_000
_ATTEMPT = (
    "number", "upstream", "provider", "version", "outcome", "status", "cause", "upstream_request_id", "prompt_tokens",
    "cached_tokens", "output_tokens", "usage_complete", "service_tier", "first_event_seconds", "seconds",
    "estimated_prompt_tokens", "estimated_output_tokens", "cost_estimated",
)  # fmt: skip
_COMPARED = ("request", "at", "workload", "direction", "student_version", "teacher_version", "weight")


class Inspected(NamedTuple):
    """One request: its row as `decisions.one` has it, its attempts in order, the text that the router read, None where
    it is not stored, and a user's score of the answer in [0, 1], None without.
    """

    row: dict[str, Any]
    attempts: list[dict[str, Any]]
    text: str | None
    feedback: float | None


class OfVersion(NamedTuple):
    """What the newest comparisons have of one version of a student: how many, and the times of the first and last."""

    workload: str
    version: str
    source: str
    comparisons: int
    first: int
    last: int


class InspectionStore(Tables):
    """Reads of single rows, each bounded whatever the size of the ledger."""

    def request(self, id: str) -> Inspected | None:
        """A request by the ledger's id or that of its answer; None where it is not known."""
        return self._read(lambda connection: _request(connection, id))

    def compared(
        self,
        limit: int,
        before: int | None = None,
        workload: str | None = None,
        result: str | None = None,
        request: str | None = None,
    ) -> list[dict[str, Any]]:
        """The newest comparisons of the student, newest first, with scores, a person's verdict and whether the
        conversation is stored. `before`: microseconds since the epoch; `result`: student, teacher or tie, by scores;
        `request`: only that of this request.
        """  # fmt: skip
        c, o = comparisons.c, outcomes.c
        newest = select(c.request, c.source, c.at).where(c.source == SHADOW)
        if workload is not None:
            newest = newest.where(c.workload == workload)
        if before is not None:
            newest = newest.where(c.at < before)
        if request is not None:
            newest = newest.where(c.request == request)
        searched = newest.order_by(c.at.desc(), c.request).limit(MAX_COMPARED).subquery().c
        of = and_(o.request == searched.request, o.source == searched.source)
        stored = conversations.alias("stored")
        wanted = (
            select(*(c[name] for name in _COMPARED), o.student_score, o.teacher_score, audits.c.verdict)
            .add_columns(stored.c.request.is_not(None).label("stored"))
            .select_from(comparisons)
            .join(searched.request.table, and_(c.request == searched.request, c.source == searched.source))
            .join(outcomes, of)
            .outerjoin(audits, audits.c.request == c.request)
            .outerjoin(stored, and_(stored.c.request == c.request, stored.c.kind == COMPARISON))
            .where(o.student_score.is_not(None), o.teacher_score.is_not(None))
            .order_by(c.at.desc(), c.request)
            .limit(limit)
        )
        by_score = {
            "student": o.student_score > o.teacher_score,
            "teacher": o.student_score < o.teacher_score,
            "tie": o.student_score == o.teacher_score,
        }
        if result is not None:
            wanted = wanted.where(by_score[result])
        return [dict(row) for row in self._read(lambda one: one.execute(wanted).mappings().all())]

    def versions(self) -> list[OfVersion]:
        """The versions of students in the newest MAX_COMPARED comparisons, those of candidates among them."""
        c = comparisons.c
        newest = select(c.workload, c.student_version, c.source, c.at).where(c.source.in_(COMPARED))
        s = newest.order_by(c.at.desc()).limit(MAX_COMPARED).subquery().c
        by = (s.workload, s.student_version, s.source)
        wanted = select(*by, func.count(), func.min(s.at), func.max(s.at)).group_by(*by).order_by(func.max(s.at).desc())
        return [OfVersion(*row) for row in self._read(lambda one: one.execute(wanted).all())]

    def scores(self, of: OfVersion) -> list[tuple[float, float, float]]:
        """Scores of the student's and the teacher's answers, and weights, of the newest MAX_COMPARED comparisons of a
        version.
        """
        c, o = comparisons.c, outcomes.c
        wanted = (
            select(o.student_score, o.teacher_score, c.weight)
            .join_from(comparisons, outcomes, and_(o.request == c.request, o.source == c.source))
            .where(c.workload == of.workload, c.source == of.source, c.student_version == of.version)
            .where(c.at >= of.first, o.student_score.is_not(None), o.teacher_score.is_not(None))
            .order_by(c.at.desc())
            .limit(MAX_COMPARED)
        )
        return [
            (student, teacher, weight) for student, teacher, weight in self._read(lambda one: one.execute(wanted).all())
        ]


def _request(connection: Connection, id: str) -> Inspected | None:
    row = one(connection, id)
    if row is None:
        return None
    a = attempts.c
    wanted = select(*(a[name] for name in _ATTEMPT), cost_of(attempts).label("cost"))
    made = connection.execute(wanted.where(a.request == row["id"]).order_by(a.number)).mappings()
    text = connection.scalar(select(prompts.c.text).where(prompts.c.request == row["id"]))
    o = outcomes.c
    said = select(func.coalesce(o.student_score, o.teacher_score)).where(o.request == row["id"], o.source == FEEDBACK)
    return Inspected(row, [dict(each) for each in made], text, connection.scalar(said))
