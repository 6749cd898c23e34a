"""The ledger's part of the road: comparisons to learn from, stages, events, artifacts and leases."""

from __future__ import annotations

import functools
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, literal, or_, select, update

from breakeven.gateway.accounting.record import CANDIDATE
from breakeven.gateway.ledger.database import serialise
from breakeven.gateway.ledger.labels import Label, labels
from breakeven.gateway.ledger.road_tables import artifacts, leases
from breakeven.gateway.ledger.road_tables import road_events as events
from breakeven.gateway.ledger.road_tables import road_states as states
from breakeven.gateway.ledger.rows import COMPARED, SHADOW
from breakeven.gateway.ledger.schema import attempts, comparisons, outcomes, prompts, requests
from breakeven.gateway.ledger.tables import Tables
from breakeven.router.policy import Reason

# The newest comparisons that are read: enough for any router that is trained from them.
MAX_COMPARISONS = 20_000
_MANY = 1 << 30
# In the place of a stage: the event is about a workload that clients name and the config does not have.
UNKNOWN = "unknown"
# In the place of a stage: the event is about the policy of all workloads, and has none of them.
POLICY = "policy"
_MOST_UNKNOWN = 64


class Event(NamedTuple):
    """One thing that happened: `at` microseconds since the Unix epoch, the `stage` after it, and a sentence. `who` did
    it: gateway, console, api or command line; `undo`: as JSON what takes it back, None where nothing does.
    """

    at: int
    workload: str
    stage: str
    text: str
    who: str = "gateway"
    undo: str | None = None


class Comparison(NamedTuple):
    """One comparison of live traffic. `at`: the request's time, microseconds since the Unix epoch; `text`: its prompt,
    None where that is not stored; scores in [0, 1]; `weight`: one over the probability with which it was compared;
    `teacher_cost`: what the teacher's answer cost, in picodollars.
    """

    request: str
    at: int
    text: str | None
    student_score: float
    teacher_score: float
    weight: float
    direction: str
    logprob: float | None
    score: float | None
    artifact: str | None
    teacher_cost: int


class RoadStore(Tables):
    """The tables of the road."""

    def versions(self) -> dict[str, int]:
        """The version of each workload's state."""
        return dict(self._read(lambda one: one.execute(select(states.c.workload, states.c.version)).tuples().all()))

    def states(self) -> dict[str, tuple[int, str]]:
        """The version and the document of each workload's state."""
        rows = self._read(lambda one: one.execute(select(states.c.workload, states.c.version, states.c.document)).all())
        return {workload: (version, document) for workload, version, document in rows}

    def put_state(self, workload: str, version: int, document: str, happened: Event | None = None) -> bool:
        """Replace the state that has this `version` (0: there is none), and store what happened in the same
        transaction. False, and nothing stored, where another gateway was faster.
        """
        return self._write(functools.partial(_put_state, workload, version, document, happened))

    def events(self, workload: str | None = None, limit: int = 100) -> list[Event]:
        """The newest events, newest first."""
        wanted = select(*(events.c[name] for name in Event._fields))
        if workload is not None:
            wanted = wanted.where(events.c.workload == workload)
        rows = self._read(lambda one: one.execute(wanted.order_by(events.c.id.desc()).limit(limit)).all())
        return [Event(*row) for row in rows]

    def put_unknown(self, named: list[Event]) -> None:
        """Store events of stage UNKNOWN in the place of older ones of the same workloads, of 64 workloads at most."""
        c = events.c

        def put(connection: Connection) -> None:
            serialise(connection)
            for one in named:
                connection.execute(delete(events).where(c.workload == one.workload, c.stage == UNKNOWN))
                known = connection.scalar(select(func.count()).select_from(events).where(c.stage == UNKNOWN))
                if (known or 0) < _MOST_UNKNOWN:
                    connection.execute(insert(events), one._asdict())

        self._write(put)

    def unknown(self, since: int) -> list[Event]:
        """What clients named since then that the config did not have, newest first."""
        c = events.c
        wanted = select(c.at, c.workload, c.stage, c.text).where(c.stage == UNKNOWN, c.at >= since)
        return [Event(*row) for row in self._read(lambda one: one.execute(wanted.order_by(c.id.desc())).all())]

    def put_artifact(self, hash: str, at: int, data: bytes) -> None:
        """Store an artifact, unless it is there."""

        def put(connection: Connection) -> None:
            serialise(connection)
            if connection.scalar(select(artifacts.c.hash).where(artifacts.c.hash == hash)) is None:
                connection.execute(insert(artifacts), {"hash": hash, "at": at, "data": data})

        self._write(put)

    def artifact(self, hash: str) -> bytes | None:
        """An artifact; None where it is not there."""
        return self._read(lambda one: one.scalar(select(artifacts.c.data).where(artifacts.c.hash == hash)))

    def keep_artifacts(self, hashes: set[str]) -> None:
        """Delete all other artifacts."""
        self._write(lambda one: one.execute(delete(artifacts).where(artifacts.c.hash.not_in(hashes))))

    def take_lease(self, name: str, holder: str, now: int, until: int) -> bool:
        """Take the lease `name`, or renew it, until `until`, microseconds since the Unix epoch. False where another
        holder has it at `now`.
        """

        def take(connection: Connection) -> bool:
            serialise(connection)
            c = leases.c
            free = or_(c.holder == holder, c.until < now)
            taken = connection.execute(update(leases).where(c.name == name, free).values(holder=holder, until=until))
            if taken.rowcount:
                return True
            if connection.scalar(select(c.name).where(c.name == name)) is not None:
                return False
            connection.execute(insert(leases), {"name": name, "holder": holder, "until": until})
            return True

        return self._write(take)

    def end_lease(self, name: str, holder: str) -> None:
        """Give a lease back."""
        c = leases.c
        self._write(lambda one: one.execute(delete(leases).where(c.name == name, c.holder == holder)))

    def count(self, workload: str, since: int, student: str) -> int:
        """The number of comparisons of a workload from `since` on with this version of the student, those of when it
        was a candidate among them.
        """
        wanted = select(func.count()).select_from(comparisons).where(_of(workload, since, student))
        return self._read(lambda one: one.scalar(wanted)) or 0

    def workloads(self) -> set[str]:
        """The workloads that have comparisons of live traffic."""
        wanted = select(comparisons.c.workload).where(comparisons.c.source == SHADOW).distinct()
        return set(self._read(lambda one: one.scalars(wanted).all()))

    def newest_versions(self, workload: str) -> tuple[str, str] | None:
        """The versions of student and teacher in the newest comparison of a workload; None without any."""
        c = comparisons.c
        wanted = select(c.student_version, c.teacher_version).where(c.workload == workload, c.source == SHADOW)
        row = self._read(lambda one: one.execute(wanted.order_by(c.at.desc()).limit(1)).first())
        return None if row is None else (row[0], row[1])

    def comparisons(self, workload: str, since: int, student: str) -> list[Comparison]:
        """The newest MAX_COMPARISONS comparisons of a workload from `since` on with this version of the student, oldest
        first; those of when it was a candidate among them.
        """
        c, o = comparisons.c, outcomes.c
        scores = (o.student_score, o.teacher_score, c.weight, c.direction, c.logprob, o.score, o.artifact)
        cost = c.teacher_input_cost + c.teacher_output_cost
        wanted = (
            select(c.request, c.at, prompts.c.text, *scores, cost)
            .join_from(comparisons, outcomes, and_(o.request == c.request, o.source == c.source))
            .outerjoin(prompts, prompts.c.request == c.request)
            .where(_of(workload, since, student))
            .where(o.student_score.is_not(None), o.teacher_score.is_not(None))
            .order_by(c.at.desc(), c.request)
            .limit(MAX_COMPARISONS)
        )
        rows = self._read(lambda one: one.execute(wanted).all())
        return [Comparison(*row) for row in reversed(rows)]

    def labels(self, artifact: str, workload: str | None = None) -> list[Label]:
        """Comparisons with the scores of an artifact; see `labels.labels`."""
        return self._read(lambda one: labels(one, artifact, workload))

    def novelties(self, workload: str, artifact: str, since: int, limit: int) -> list[tuple[int, float]]:
        """Time and novelty of the first `limit` requests after `since` that this artifact assessed, oldest first."""
        c = requests.c
        wanted = (
            select(c.at, c.novelty)
            .where(c.workload == workload, c.at > since, c.artifact == artifact, c.novelty.is_not(None))
            .order_by(c.at)
            .limit(limit)
        )
        return [(at, novelty) for at, novelty in self._read(lambda one: one.execute(wanted).all())]

    def newest_scores(self, workload: str, artifact: str, limit: int) -> list[tuple[float, float]]:
        """Score and novelty of the newest `limit` requests of a workload that this artifact scored, newest first."""
        c = requests.c
        wanted = (
            select(c.score, func.coalesce(c.novelty, 0.0))
            .where(c.workload == workload, c.artifact == artifact, c.score.is_not(None), c.pinned.is_(False))
            .order_by(c.at.desc(), c.id)
            .limit(limit)
        )
        return [(score, novelty) for score, novelty in self._read(lambda one: one.execute(wanted).all())]

    def answered(self, workload: str, since: int, until: int) -> tuple[int, int]:
        """How many unpinned requests of a workload in [since, until) the student answered, and how many there were."""
        c = requests.c
        wanted = select(func.count().filter(c.route == literal("student")), func.count()).where(
            c.workload == workload,
            c.at >= since,
            c.at < until,
            c.pinned.is_(False),
            c.outcome == "ok",
            c.reason != Reason.SHADOW.value,
        )
        by_student, every = self._read(lambda one: one.execute(wanted).one())
        return by_student, every

    def directions(self, workload: str, since: int) -> dict[str, int]:
        """How many comparisons of a workload were made since then, by direction."""
        c = comparisons.c
        wanted = select(c.direction, func.count()).where(c.workload == workload, c.at >= since, c.source == SHADOW)
        return dict(self._read(lambda one: one.execute(wanted.group_by(c.direction)).tuples().all()))

    def verdicts(self, workload: str, since: int, *, judged: bool) -> tuple[int, int]:
        """How many requests of a workload that were to be compared since then have a verdict, and how many do not.

        Those of which the student gave no answer are left out, and where answers are `judged` those that needed no
        judge: equal answers, for which one call was enough.
        """
        c, r, a = comparisons.c, requests.c, attempts.c
        # A candidate is asked once all that is compared without it has been asked.
        other = attempts.alias().c
        of_candidate = select(func.min(other.number)).where(other.request == r.id, other.provider == CANDIDATE)
        before = a.number < func.coalesce(of_candidate.scalar_subquery(), _MANY)
        calls = select(func.count()).where(a.request == r.id, before).scalar_subquery()
        of_student = select(a.request).where(a.request == r.id, a.upstream == "student", a.provider == "")
        answered = or_(~of_student.exists(), of_student.where(a.outcome == "ok").exists())
        asked = requests.outerjoin(comparisons, and_(c.request == r.request_id, c.source == SHADOW))
        wanted = select(func.count(c.request), func.count()).select_from(asked)
        wanted = wanted.where(r.reason == Reason.SHADOW.value, r.workload == workload, r.at >= since, answered)
        if judged:
            wanted = wanted.where(calls > 1)
        compared, every = self._read(lambda one: one.execute(wanted).one())
        return compared, every - compared


def _of(workload: str, since: int, student: str) -> ColumnElement[bool]:
    c = comparisons.c
    return and_(c.workload == workload, c.at >= since, c.source.in_(COMPARED), c.student_version == student)


def _put_state(workload: str, version: int, document: str, happened: Event | None, connection: Connection) -> bool:
    serialise(connection)
    c = states.c
    if version == 0:
        if connection.scalar(select(c.version).where(c.workload == workload)) is not None:
            return False
        connection.execute(insert(states), {"workload": workload, "version": 1, "document": document})
    else:
        mine = and_(c.workload == workload, c.version == version)
        changed = connection.execute(update(states).where(mine).values(version=version + 1, document=document))
        if not changed.rowcount:
            return False
    if happened is not None:
        connection.execute(insert(events), happened._asdict())
    return True
