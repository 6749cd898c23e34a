"""What the ledger has of judging: each judge's verdicts on compared pairs, and what people were asked about.

Both are documents beside the conversations, without any text of theirs, so that they need no consent and outlive them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, and_, insert, select, update

from breakeven.gateway.accounting.record import RequestRecord, Verdicts
from breakeven.gateway.ledger.conversation_tables import CHOSEN, COMPARISON, VERDICTS, audits, conversations
from breakeven.gateway.ledger.conversations import Asked, Pair
from breakeven.gateway.ledger.road_tables import road_states
from breakeven.gateway.ledger.rows import SHADOW, Row
from breakeven.gateway.ledger.schema import comparisons, outcomes
from breakeven.gateway.ledger.tables import Tables
from breakeven.gateway.road.audit import Verdict
from breakeven.gateway.road.judges import judges
from breakeven.gateway.road.stages import read_state

# The newest comparisons that are read.
MAX_PAIRS = 20_000
_NEVER = 2**62
# Built at import: where two threads use a type of msgspec for the first time at once, it crashes the process.
_PAIR = msgspec.json.Decoder(Pair)
_VERDICTS = msgspec.json.Decoder(Verdicts)
_verdicts = conversations.alias("verdicts")
_chosen = conversations.alias("chosen")
_stored = conversations.alias("stored")


class ComparedPair(NamedTuple):
    """A compared pair with scores in [0, 1]. `weight`: one over the probability with which it was compared; `judged`:
    the judges' verdicts, None where none was asked; `stored`: whether the conversation is there; `verdict`: a person's,
    None where nobody said one; `chosen`: the probability with which a person was to be asked, None where not known.
    """

    request: str
    student: float
    teacher: float
    weight: float
    judged: Verdicts | None
    stored: bool
    verdict: Verdict | None
    chosen: float | None


class JudgedStore(Tables):
    """The documents on judging."""

    def pairs(self, workload: str, since: int, student: str) -> list[ComparedPair]:
        """The newest MAX_PAIRS compared pairs of a workload from `since` on with this version of the student."""
        c, o = comparisons.c, outcomes.c
        documents = (_verdicts.c.document, _stored.c.request, audits.c.verdict, _chosen.c.document)
        wanted = (
            select(c.request, o.student_score, o.teacher_score, c.weight, *documents)
            .join_from(comparisons, outcomes, and_(o.request == c.request, o.source == SHADOW))
            .outerjoin(_verdicts, and_(_verdicts.c.request == c.request, _verdicts.c.kind == VERDICTS))
            .outerjoin(_stored, and_(_stored.c.request == c.request, _stored.c.kind == COMPARISON))
            .outerjoin(_chosen, and_(_chosen.c.request == c.request, _chosen.c.kind == CHOSEN))
            .outerjoin(audits, audits.c.request == c.request)
            .where(c.workload == workload, c.at >= since, c.source == SHADOW, c.student_version == student)
            .where(o.student_score.is_not(None), o.teacher_score.is_not(None))
            .order_by(c.at.desc(), c.request)
            .limit(MAX_PAIRS)
        )
        return [_pair(*row) for row in self._read(lambda one: one.execute(wanted).all())]

    def verdicts(self, since: int, workload: str | None = None) -> list[Verdicts]:
        """The judges' verdicts on the newest MAX_PAIRS pairs since `since`, of one workload or all."""
        return [found for _, found in self._read(lambda one: verdicts(one, since, workload))]

    def asked(self, request: str) -> Asked | None:
        """The stored pair of a request; None where it is no longer there."""
        c = conversations.c
        wanted = select(c.document).where(c.request == request, c.kind == COMPARISON)
        document = self._read(lambda one: one.scalar(wanted))
        return None if document is None else Asked(request, _PAIR.decode(document))

    def verdicts_on(self, request: str) -> Verdicts | None:
        """The judges' verdicts on the pair of a request; None where none was asked."""
        c = conversations.c
        wanted = select(c.document).where(c.request == request, c.kind == VERDICTS)
        document = self._read(lambda one: one.scalar(wanted))
        return None if document is None else _VERDICTS.decode(document)

    def put_chosen(self, workload: str, at: int, chosen: Mapping[str, float]) -> None:
        """Store with which probability a person was to be asked about each of these requests, for what is known of it.
        It is never lowered.
        """

        def put(connection: Connection) -> None:
            c = conversations.c
            for request, probability in chosen.items():
                key = and_(c.request == request, c.kind == CHOSEN)
                before = connection.scalar(select(c.document).where(key))
                document = msgspec.json.encode(max(probability, _probability(before) or 0.0)).decode()
                if before is None:
                    row = {"request": request, "kind": CHOSEN, "at": at, "workload": workload, "key": ""}
                    connection.execute(insert(conversations), {**row, "document": document})
                else:
                    connection.execute(update(conversations).where(key).values(document=document))

        self._write(put)


def verdicts(connection: Connection, since: int, workload: str | None = None) -> list[tuple[int, Verdicts]]:
    """The judges' verdicts on the newest MAX_PAIRS pairs since `since`, of one workload or all, each with its time."""
    c = conversations.c
    wanted = select(c.at, c.document).where(c.kind == VERDICTS, c.at >= since)
    if workload is not None:
        wanted = wanted.where(c.workload == workload)
    rows = connection.execute(wanted.order_by(c.at.desc()).limit(MAX_PAIRS)).all()
    return [(at, _VERDICTS.decode(document)) for at, document in rows]


def measured_since(connection: Connection, since: int) -> int:
    """From when on, at the earliest since `since`, answers were scored by what measures something: after a judge whose
    verdicts do not, from the next change of the scorer on. What was compared without that judge, such as equal texts,
    would be a choice of easy requests.
    """
    found = verdicts(connection, since)
    silent = {one.name for one in judges([one for _, one in found]) if not one.consistency.reads}
    last = max((at for at, one in found if silent & one.judges.keys()), default=None)
    if last is None:
        return since
    states = connection.execute(select(road_states.c.workload, road_states.c.document)).all()
    changed = max((read_state(workload, document).scored_since for workload, document in states), default=0)
    return changed if changed > last else _NEVER


def verdict_rows(records: Sequence[RequestRecord]) -> list[Row]:
    """One row for each compared pair that a judge was asked about."""
    pairs = [record.pair for record in records if record.pair is not None]
    return [
        {
            "request": pair.request,
            "kind": VERDICTS,
            "at": pair.at,
            "workload": pair.workload,
            "key": pair.key,
            "document": msgspec.json.encode(pair.verdicts).decode(),
        }
        for pair in pairs
        if pair.verdicts is not None
    ]


def _pair(
    request: str,
    student: float,
    teacher: float,
    weight: float,
    judged: str | None,
    stored: str | None,
    verdict: str | None,
    chosen: str | None,
) -> ComparedPair:
    found = None if judged is None else _VERDICTS.decode(judged)
    said = None if verdict is None else Verdict(verdict)
    return ComparedPair(request, student, teacher, weight, found, stored is not None, said, _probability(chosen))


def _probability(document: str | None) -> float | None:
    return None if document is None else msgspec.json.decode(document, type=float)
