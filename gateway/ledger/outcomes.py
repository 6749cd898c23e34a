"""Outcomes in the ledger, from comparisons and feedback, and the prompts stored for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, func, insert, or_, select

from breakeven.gateway.accounting.record import CANDIDATE, DEFAULT_WORKLOAD
from breakeven.gateway.economics.baseline import PricedPair
from breakeven.gateway.economics.quality import Compared
from breakeven.gateway.ledger.judged import measured_since
from breakeven.gateway.ledger.rows import COMPARED, FEEDBACK
from breakeven.gateway.ledger.schema import attempts, comparisons, outcomes, prompts, requests
from breakeven.gateway.ledger.versions import InForce
from breakeven.gateway.road.stages import Direction
from breakeven.router.policy import ROUTED, Reason, Route

ROWS = "rows"
_STUDENT_ANSWERED = Direction.STUDENT_ANSWERED.value
_IDS = 500  # parameters of one statement
# Enough for a confidence interval narrower than one percent; the newest pairs are used.
MAX_PAIRS = 20_000
_MAX_ROWS = 200_000


class Judged(NamedTuple):
    """One outcome with its stored prompt. `at`: microseconds since the epoch; `source`: shadow or feedback.

    `artifact` and `score` are of the router that decided the request; `student_score` and `teacher_score` are in
    [0, 1], None where not scored.
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
    """The stored request that feedback refers to. `at`: microseconds since the epoch; `version`: the model that
    answered, empty where that is not known.
    """

    id: str
    at: int
    route: str
    score: float | None
    novelty: float | None
    artifact: str | None
    version: str


def compared(connection: Connection, since: int) -> list[Compared]:
    """The newest MAX_PAIRS comparisons since `since`, microseconds since the epoch, as far as they are of the student
    in force in their workload, and newer than those of a judge whose verdicts measure nothing.
    """
    c, made = outcomes.c, comparisons.c
    by_student = func.coalesce(made.direction, _STUDENT_ANSWERED) == _STUDENT_ANSWERED
    statement = (
        select(c.student_score, c.teacher_score, c.student_tokens, c.teacher_tokens, c.weight, by_student)
        .add_columns(made.workload, made.student_version, c.source)
        .outerjoin_from(outcomes, comparisons, and_(made.request == c.request, made.source == c.source))
        .where(c.source.in_(COMPARED), c.at >= measured_since(connection, since))
        .order_by(c.at.desc(), c.request)
        .limit(MAX_PAIRS)
    )
    now = InForce(connection)
    rows = connection.execute(statement).all()
    return [Compared(*row[:6]) for row in rows if now.of(row[6] or DEFAULT_WORKLOAD, row[7] or "", row[8])]


def priced_pairs(connection: Connection, until: int | None = None) -> list[PricedPair]:
    """The newest MAX_PAIRS compared pairs before `until`, microseconds since the epoch with what they cost."""
    c = comparisons.c
    values = (c.student_input_value, c.student_output_value, c.teacher_input_cost, c.teacher_output_cost)
    served = c.direction == Direction.STUDENT_ANSWERED.value
    wanted = (c.key, *values, c.weight, c.workload, c.size, served)
    statement = select(*wanted).where(c.source != CANDIDATE).order_by(c.at.desc()).limit(MAX_PAIRS)
    if until is not None:
        statement = statement.where(c.at < until)
    return [PricedPair(*row) for row in connection.execute(statement)]


def enter_pairs(connection: Connection, pairs: Mapping[str, PricedPair], at: int) -> int:
    """Store pairs of outcome rows by their id (32 hex digits), at `at`; returns how many were not there already."""
    c = comparisons.c
    known: set[str] = set()
    ids = list(pairs)
    for start in range(0, len(ids), _IDS):
        known |= set(connection.scalars(select(c.request).where(c.request.in_(ids[start : start + _IDS]))))
    fresh = [
        {
            "request": id,
            "at": at,
            "key": pair.key,
            "student_input_value": pair.student_input,
            "student_output_value": pair.student_output,
            "teacher_input_cost": pair.teacher_input,
            "teacher_output_cost": pair.teacher_output,
            "weight": pair.weight,
            "workload": pair.workload,
            "size": pair.size,
            "source": ROWS,
        }
        for id, pair in pairs.items()
        if id not in known
    ]
    if fresh:
        connection.execute(insert(comparisons), fresh)
    return len(fresh)


def entered_pairs(connection: Connection) -> int:
    """How many comparisons came from outcome rows."""
    statement = select(func.count()).select_from(comparisons).where(comparisons.c.source == ROWS)
    return connection.scalar(statement) or 0


def answered(connection: Connection, request_id: str, key: str) -> Answered | None:
    """The newest answered request of this client key with this id, the client's or the gateway's own; else None."""
    c = requests.c
    statement = (
        select(c.id, c.at, c.route, c.score, c.novelty, c.artifact, func.coalesce(attempts.c.version, ""))
        .outerjoin_from(requests, attempts, and_(attempts.c.request == c.id, attempts.c.last))
        .where(or_(c.request_id == request_id, c.id == request_id), c.key == key)
        .where(c.route.in_([route.value for route in ROUTED]), c.reason != Reason.SHADOW.value)
        .order_by(c.at.desc())
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else Answered(*row)


def put_feedback(connection: Connection, about: Answered, score: float) -> None:
    """Store a user's score in [0, 1] of an answer, replacing an earlier one."""
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
        "version": about.version,
    }
    connection.execute(insert(outcomes), row)


def store_prompts(connection: Connection, kept: Sequence[tuple[str, int, str]]) -> None:
    """Store prompts: (request id, microseconds since the epoch, text). Existing ones are kept."""
    ids = [request for request, _, _ in kept]
    known = set(connection.scalars(select(prompts.c.request).where(prompts.c.request.in_(ids))))
    fresh = [{"request": request, "at": at, "text": text} for request, at, text in kept if request not in known]
    if fresh:
        connection.execute(insert(prompts), fresh)


def purge_prompts(connection: Connection, before: int | None = None) -> int:
    """Delete stored prompts, with `before` (microseconds since the epoch) only older ones; returns their number."""
    statement = delete(prompts)
    if before is not None:
        statement = statement.where(prompts.c.at < before)
    return connection.execute(statement).rowcount


def repeated_prompts(connection: Connection, since: int, until: int) -> tuple[int, int]:
    """The number of prompts stored in [since, until), and of those among them that are equal to an earlier one.

    Times are in microseconds since the epoch.
    """
    c = prompts.c
    statement = select(func.count(), func.count(c.text.distinct())).where(c.at >= since, c.at < until)
    every, different = connection.execute(statement).one()
    return every, every - different


def stored_prompts(connection: Connection, since: int, until: int, limit: int) -> list[str]:
    """The newest `limit` prompts stored in [since, until), microseconds since the epoch, oldest first."""
    c = prompts.c
    newest = select(c.text).where(c.at >= since, c.at < until).order_by(c.at.desc(), c.request).limit(limit)
    return list(reversed(connection.scalars(newest).all()))


def judged(connection: Connection) -> list[Judged]:
    """The newest outcomes whose prompt is stored, at most 200,000, oldest first, as far as they are of the student in
    force. Feedback on its answers from before versions were stored is among them, and all that on the teacher's.
    """
    c, made = outcomes.c, comparisons.c
    wanted = (c.request, c.at, c.source, prompts.c.text, c.artifact, c.score)
    scores = (c.student_score, c.teacher_score, c.student_tokens, c.teacher_tokens)
    of = and_(made.request == c.request, made.source == c.source)
    statement = (
        select(*wanted, *scores, made.workload, c.version)
        .join_from(outcomes, prompts, c.request == prompts.c.request)
        .outerjoin(comparisons, of)
    )
    rows = connection.execute(statement.order_by(c.at.desc(), c.request, c.source).limit(_MAX_ROWS)).all()
    now = InForce(connection)
    kept = [row for row in rows if row.source == FEEDBACK or now.of(row.workload or "", row.version, row.source)]
    rated = (row.version for row in rows if row.source == FEEDBACK and row.student_score is not None and row.version)
    students = now.students or {next(rated, "")}
    return [
        Judged(*row[:10])
        for row in reversed(kept)
        if row.source != FEEDBACK or row.student_score is None or row.version in ("", *students)
    ]


def count(connection: Connection) -> tuple[int, int]:
    """The number of outcomes, and of those whose prompt is stored."""
    own = outcomes.c.source != CANDIDATE
    every = connection.scalar(select(func.count()).select_from(outcomes).where(own)) or 0
    kept = select(func.count()).select_from(outcomes.join(prompts, outcomes.c.request == prompts.c.request)).where(own)
    return every, connection.scalar(kept) or 0
