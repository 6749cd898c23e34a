"""Compared requests with the score that a router gave them before they were compared."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, and_, case, func, select

from breakeven.gateway.ledger.rows import COMPARED
from breakeven.gateway.ledger.schema import comparisons, outcomes, prompts
from breakeven.gateway.ledger.versions import InForce

# The newest comparisons that are read.
MAX_LABELS = 20_000


class Label(NamedTuple):
    """One comparison of live traffic, with scores of the answers in [0, 1].

    `at`: the request's time, microseconds since the Unix epoch; `score`: None where this artifact did not score it;
    `text`: its prompt then, None where that is not stored; `weight`: one over the probability with which it was
    compared; `logprob`: the mean log-probability of the first tokens of the student's answer, None where not known.
    """

    at: int
    workload: str
    version: str
    score: float | None
    novelty: float
    text: str | None
    student: float
    teacher: float
    weight: float
    logprob: float | None


def labels(connection: Connection, artifact: str, workload: str | None = None) -> list[Label]:
    """The newest MAX_LABELS comparisons, newest first, of one workload or all, as far as they are of the student in
    force in the workload: another version says nothing of it.

    `artifact` is the hash of the one whose scores are wanted.
    """
    c, o = comparisons.c, outcomes.c
    scored = case((o.artifact == artifact, o.score))
    text = case((scored.is_(None), prompts.c.text))
    wanted = (
        c.at,
        c.workload,
        c.student_version,
        scored,
        func.coalesce(o.novelty, 0.0),
        text,
        o.student_score,
        o.teacher_score,
    )
    statement = (
        select(*wanted, c.weight, c.logprob, c.source)
        .join_from(comparisons, outcomes, and_(o.request == c.request, o.source == c.source))
        .outerjoin(prompts, prompts.c.request == c.request)
        .where(c.source.in_(COMPARED), o.student_score.is_not(None), o.teacher_score.is_not(None))
        .order_by(c.at.desc(), c.request)
        .limit(MAX_LABELS)
    )
    if workload is not None:
        statement = statement.where(c.workload == workload)
    now = InForce(connection)
    rows = [(Label._make(row[:-1]), row[-1]) for row in connection.execute(statement)]
    return [one for one, source in rows if now.of(one.workload, one.version, source)]
