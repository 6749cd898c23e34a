"""Stored conversations with the answers to them, and the verdicts of people on the two answers of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Select, and_, delete, insert, select, tuple_, update

from breakeven.gateway.ledger.conversation_tables import CHOSEN, TEXTLESS, audits, conversations
from breakeven.gateway.ledger.kept import Kept, kept
from breakeven.gateway.ledger.rows import SHADOW
from breakeven.gateway.ledger.schema import comparisons, outcomes
from breakeven.gateway.ledger.tables import Tables
from breakeven.gateway.road.audit import Audited, Verdict
from breakeven.gateway.wire.answers import Answer
from breakeven.gateway.wire.chat_text import Message


class Conversation(NamedTuple):
    """A conversation to store. `request`: id of the client's request, which came `at`, microseconds since the Unix
    epoch; `key`: name of the client key, empty without; `document`: JSON, of which `kind` says what is in it.
    """

    request: str
    kind: str
    at: int
    workload: str
    key: str
    document: str


class KeptCall(msgspec.Struct, frozen=True):
    """A call of a tool; the arguments are mostly JSON."""

    name: str
    arguments: str


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer: its text and its calls of tools."""

    text: str
    calls: tuple[KeptCall, ...] = ()

    @property
    def shown(self) -> str:
        """For a person: its text, and each call on a line of its own."""
        return "\n".join([*filter(None, [self.text]), *(f"[call: {one.name} {one.arguments}]" for one in self.calls)])


class Pair(msgspec.Struct, frozen=True):
    """The document of a comparison: roles and texts of the conversation, as the judge reads it, and both answers."""

    messages: list[dict[str, str]]
    student: KeptAnswer
    teacher: KeptAnswer


class Asked(NamedTuple):
    """A pair that a person is asked about."""

    request: str
    pair: Pair


class ConversationStore(Tables):
    """The tables of conversations and of audits."""

    def store(self, kept: Sequence[Conversation]) -> None:
        """Store conversations. Existing ones are kept."""

        def put(connection: Connection) -> None:
            c = conversations.c
            ids = [(one.request, one.kind) for one in kept]
            found = select(c.request, c.kind).where(tuple_(c.request, c.kind).in_(ids))
            known = {(request, kind) for request, kind in connection.execute(found)}
            fresh = [one._asdict() for one in kept if (one.request, one.kind) not in known]
            if fresh:
                connection.execute(insert(conversations), fresh)

        self._write(put)

    def purge(self, before: int | None = None) -> int:
        """Delete conversations, with `before` (microseconds since the epoch) only older ones; returns their number."""
        return self._write(lambda connection: purge(connection, before))

    def put_verdict(self, request: str, at: int, verdict: Verdict) -> None:
        """Store what a person said of a pair, in place of what was said before."""

        def put(connection: Connection) -> None:
            said = {"at": at, "verdict": verdict.value}
            if not connection.execute(update(audits).where(audits.c.request == request).values(said)).rowcount:
                connection.execute(insert(audits), {"request": request, **said})

        self._write(put)

    def audited(self, workload: str, since: int, student: str) -> list[Audited]:
        """What people said of pairs of a workload from `since` on with this version of the student, and the scores."""
        o, c = outcomes.c, conversations.c
        scores = (o.student_score, o.teacher_score, audits.c.verdict, c.document)
        wanted = _scored(select(*scores), workload, since, student)
        wanted = wanted.join(audits, audits.c.request == comparisons.c.request)
        wanted = wanted.outerjoin(conversations, and_(c.request == comparisons.c.request, c.kind == CHOSEN))
        rows = self._read(lambda one: one.execute(wanted).all())
        return [
            Audited(by_student, by_teacher, Verdict(said), 1.0 if chosen is None else float(chosen))
            for by_student, by_teacher, said, chosen in rows
        ]

    def kept(self, workload: str | None = None, since: int | None = None) -> list[Kept]:
        """What requests left behind; see `kept.kept`."""
        return self._read(lambda connection: list(kept(connection, workload, since)))


def purge(connection: Connection, before: int | None = None) -> int:
    """Delete conversations, with `before` (microseconds since the epoch) only older ones; returns their number."""
    statement = delete(conversations).where(conversations.c.kind.not_in(TEXTLESS))
    if before is not None:
        statement = statement.where(conversations.c.at < before)
    return connection.execute(statement).rowcount


def pair_document(messages: Sequence[Message], student: Answer, teacher: Answer) -> dict[str, Any]:
    """The document of a Pair."""
    return {
        "messages": [{name: str(text) for name, text in message.items()} for message in messages],
        "student": _answer(student),
        "teacher": _answer(teacher),
    }


def _answer(answer: Answer) -> dict[str, object]:
    return {"text": answer.text, "calls": [call._asdict() for call in answer.calls]}


def _scored(wanted: Select[Any], workload: str, since: int, student: str) -> Select[Any]:
    """From comparisons of live traffic that have both scores."""
    c, o = comparisons.c, outcomes.c
    of = and_(o.request == c.request, o.source == SHADOW)
    return (
        wanted.select_from(comparisons)
        .join(outcomes, of)
        .where(c.workload == workload, c.at >= since, c.source == SHADOW, c.student_version == student)
        .where(o.student_score.is_not(None), o.teacher_score.is_not(None))
    )
