"""The ledger's part of the experiment with the next student: its state, and what was compared of both students."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, and_, func, insert, select, update

from breakeven.gateway.accounting.record import CANDIDATE
from breakeven.gateway.ledger.database import serialise
from breakeven.gateway.ledger.road import MAX_COMPARISONS, Event
from breakeven.gateway.ledger.road_tables import candidates as table
from breakeven.gateway.ledger.road_tables import road_events, road_states
from breakeven.gateway.ledger.rows import SHADOW
from breakeven.gateway.ledger.schema import comparisons, outcomes
from breakeven.gateway.ledger.tables import Tables

# One candidate at a time.
_NAME = "default"


class Both(NamedTuple):
    """One request of which both answers were compared with the teacher's. `at`: its time, microseconds since the Unix
    epoch; scores in [0, 1], with the teacher's beside either; `weight`: one over the probability with which the request
    was compared.
    """

    at: int
    workload: str
    candidate: float
    candidate_teacher: float
    student: float
    student_teacher: float
    weight: float

    @property
    def difference(self) -> float:
        """The candidate's score less the student's, each as far as it is from the teacher's beside it."""
        return (self.candidate - self.candidate_teacher) - (self.student - self.student_teacher)


class Change(NamedTuple):
    """What is to be stored: the experiment, the states of workloads that go with it, and what is said of it."""

    document: str
    states: Mapping[str, str] = {}
    happened: Event | None = None


class CandidateStore(Tables):
    """The tables of the experiment."""

    def version(self) -> int:
        """The version of the state, 0 without one; it grows with each change."""
        return self._read(lambda one: one.scalar(select(table.c.version).where(table.c.name == _NAME))) or 0

    def document(self) -> str | None:
        """The experiment as JSON; None without one."""
        return self._read(_document)

    def change(self, make: Callable[[str | None, dict[str, str]], Change | None]) -> bool:
        """Have `make` say what is to be stored, from the document and the states of the workloads, and store it in the
        same transaction; whether there was anything. `make` may raise, and then nothing is stored.
        """

        def put(connection: Connection) -> bool:
            serialise(connection)
            c = road_states.c
            states = {row.workload: row.document for row in connection.execute(select(c.workload, c.document))}
            known = _document(connection)
            change = make(known, states)
            if change is None or (change.document == known and not change.states):
                return False
            _put(connection, change, known is None, set(states))
            return True

        return self._write(put)

    def newest_versions(self) -> tuple[str, str, str] | None:
        """The versions of candidate, student and teacher in the newest comparison of a candidate; None without any."""
        of_candidate, of_student = comparisons.alias().c, comparisons.alias().c
        wanted = (
            select(of_candidate.student_version, of_student.student_version, of_candidate.teacher_version)
            .where(of_candidate.source == CANDIDATE, of_student.source == SHADOW)
            .where(of_student.request == of_candidate.request)
            .order_by(of_candidate.at.desc())
            .limit(1)
        )
        row = self._read(lambda one: one.execute(wanted).first())
        return None if row is None else (row[0], row[1], row[2])

    def compared(self, versions: tuple[str, str, str], since: int) -> list[Both]:
        """The first MAX_COMPARISONS requests from `since` on of which answers of both these versions, candidate and
        student, were compared with this teacher's, oldest first.
        """
        candidate, student, teacher = versions
        mine, its = comparisons.alias().c, comparisons.alias().c
        my_scores, its_scores = outcomes.alias().c, outcomes.alias().c
        scores = (my_scores.student_score, my_scores.teacher_score, its_scores.student_score, its_scores.teacher_score)
        wanted = (
            select(mine.at, mine.workload, *scores, mine.weight)
            .where(mine.source == CANDIDATE, mine.student_version == candidate, mine.at >= since)
            .where(its.request == mine.request, its.source == SHADOW, its.student_version == student)
            .where(mine.teacher_version == teacher, its.teacher_version == teacher)
            .where(my_scores.request == mine.request, my_scores.source == CANDIDATE)
            .where(its_scores.request == mine.request, its_scores.source == SHADOW)
            .where(and_(*(score.is_not(None) for score in scores)))
            .order_by(mine.at, mine.request)
            # The first ones: what was bet on is not to be forgotten.
            .limit(MAX_COMPARISONS)
        )
        return [Both(*row) for row in self._read(lambda one: one.execute(wanted).all())]

    def count(self, candidate: str, since: int) -> int:
        """The number of comparisons of this version of a candidate from `since` on."""
        c = comparisons.c
        wanted = select(func.count()).where(c.source == CANDIDATE, c.at >= since, c.student_version == candidate)
        return self._read(lambda one: one.scalar(wanted)) or 0

    def answered(self, candidate: str, student: str, since: int) -> tuple[int, int]:
        """How many requests were compared of this student since then, from the first on of which this candidate's
        answer was as well; and of how many of them it was.
        """
        c = comparisons.c
        mine = and_(c.source == CANDIDATE, c.student_version == candidate, c.at >= since)
        first = select(func.min(c.at)).where(mine)

        def read(connection: Connection) -> tuple[int, int]:
            begun = connection.scalar(first)
            if begun is None:
                return 0, 0
            every = and_(c.source == SHADOW, c.student_version == student, c.at >= begun)
            return (
                connection.scalar(select(func.count()).where(every)) or 0,
                connection.scalar(select(func.count()).where(mine)) or 0,
            )

        return self._read(read)


def _document(connection: Connection) -> str | None:
    return connection.scalar(select(table.c.document).where(table.c.name == _NAME))


def _put(connection: Connection, change: Change, fresh: bool, known: set[str]) -> None:
    if fresh:
        connection.execute(insert(table), {"name": _NAME, "version": 1, "document": change.document})
    else:
        c = table.c
        connection.execute(update(table).where(c.name == _NAME).values(version=c.version + 1, document=change.document))
    states = road_states.c
    for workload, document in change.states.items():
        if workload in known:
            of = update(road_states).where(states.workload == workload)
            connection.execute(of.values(version=states.version + 1, document=document))
        else:
            connection.execute(insert(road_states), {"workload": workload, "version": 1, "document": document})
    if change.happened is not None:
        connection.execute(insert(road_events), change.happened._asdict())
