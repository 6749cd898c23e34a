"""Outcomes in the ledger: what shadow traffic and feedback say of answers, and the prompts kept for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, func, insert, or_, select

from breakeven.gateway.economics.quality import Compared
from breakeven.gateway.ledger.rows import FEEDBACK, SHADOW
from breakeven.gateway.ledger.schema import outcomes, prompts, requests
from breakeven.router.policy import Reason, Route

# Enough for an interval of less than a percent; the newest count.
MAX_PAIRS = 20_000
_MAX_ROWS = 200_000


class Judged(NamedTuple):
    """One outcome with the text that the router read; a score is None where nobody gave one.

    `artifact` and `score` are what the router in service then said of it.
    """

    request: str
    at: int
    source: str
    text: str
    artifact: str | None
    score: float | None
    student_score: float | None
    teacher_score: float | None
    student_tokens: int | None
    teacher_tokens: int | None


class Answered(NamedTuple):
    """A client's request that was answered: what feedback is about."""

    id: str
    at: int
    route: str
    score: float | None
    novelty: float | None
    artifact: str | None


def compared(connection: Connection, since: int) -> list[Compared]:
    """The newest MAX_PAIRS pairs of shadow traffic from `since`, microseconds, on."""
    c = outcomes.c
    wanted = (c.student_score, c.teacher_score, c.student_tokens, c.teacher_tokens, c.weight)
    statement = select(*wanted).where(c.source == SHADOW, c.at >= since).order_by(c.at.desc()).limit(MAX_PAIRS)
    return [Compared(*row) for row in connection.execute(statement)]


def answered(connection: Connection, request_id: str, key: str) -> Answered | None:
    """The newest request of this client key with this id, the client's or the gateway's own; None for none."""
    c = requests.c
    statement = (
        select(c.id, c.at, c.route, c.score, c.novelty, c.artifact)
        .where(or_(c.request_id == request_id, c.id == request_id), c.key == key)
        .where(c.route.in_([route.value for route in Route]), c.reason != Reason.SHADOW.value)
        .order_by(c.at.desc())
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else Answered(*row)


def put_feedback(connection: Connection, about: Answered, score: float) -> None:
    """Enter a user's score in [0, 1] of an answer; a later one replaces it."""
    c = outcomes.c
    connection.execute(delete(outcomes).where(c.request == about.id, c.source == FEEDBACK))
    by_student = about.route == Route.STUDENT.value
    row = {
        "request": about.id,
        "source": FEEDBACK,
        "at": about.at,
        "score": about.score,
        "novelty": about.novelty,
        "artifact": about.artifact,
        "student_score": score if by_student else None,
        "teacher_score": None if by_student else score,
        "weight": 1.0,
    }
    connection.execute(insert(outcomes), row)


def keep(connection: Connection, kept: Sequence[tuple[str, int, str]]) -> None:
    """Keep (request, time in microseconds, text); those that are there already stay."""
    ids = [request for request, _, _ in kept]
    known = set(connection.scalars(select(prompts.c.request).where(prompts.c.request.in_(ids))))
    fresh = [{"request": request, "at": at, "text": text} for request, at, text in kept if request not in known]
    if fresh:
        connection.execute(insert(prompts), fresh)


def purge(connection: Connection, before: int | None = None) -> int:
    """Remove kept prompts, those older than `before` (microseconds) where given. Returns how many went."""
    statement = delete(prompts)
    if before is not None:
        statement = statement.where(prompts.c.at < before)
    return connection.execute(statement).rowcount


def judged(connection: Connection) -> list[Judged]:
    """Outcomes whose prompt was kept, oldest first."""
    c = outcomes.c
    wanted = (c.request, c.at, c.source, prompts.c.text, c.artifact, c.score)
    scores = (c.student_score, c.teacher_score, c.student_tokens, c.teacher_tokens)
    statement = select(*wanted, *scores).join_from(outcomes, prompts, and_(c.request == prompts.c.request))
    rows = connection.execute(statement.order_by(c.at.desc(), c.request, c.source).limit(_MAX_ROWS)).all()
    return [Judged(*row) for row in reversed(rows)]


def count(connection: Connection) -> tuple[int, int]:
    """How many outcomes there are, and how many of them have a kept prompt."""
    every = connection.scalar(select(func.count()).select_from(outcomes)) or 0
    kept = select(func.count()).select_from(outcomes.join(prompts, outcomes.c.request == prompts.c.request))
    return every, connection.scalar(kept) or 0
