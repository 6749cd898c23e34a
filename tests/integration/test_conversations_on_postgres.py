"""Stored conversations and verdicts of people in a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.conversation_tables import COMPARISON
from breakeven.gateway.ledger.conversations import Conversation, pair_document
from breakeven.gateway.ledger.database import open_engine
from breakeven.gateway.ledger.keeping import encoded
from breakeven.gateway.ledger.kept import BY_TEACHER
from breakeven.gateway.road.audit import Verdict
from breakeven.gateway.wire.answers import Answer
from tests.contract.road_rows import enter_into


def test_pairs_are_stored_drawn_judged_and_purged(postgres_url: str, tmp_path: Path) -> None:
    ledger = Ledger.open(postgres_url, journal=tmp_path / "journal")
    engine = open_engine(postgres_url)
    try:
        enter_into(engine, 12)
        said = [{"role": "user", "content": "nul \x00, half \ud800"}]
        document = encoded(pair_document(said, Answer("yes"), Answer("no")))
        rows = ledger.road.comparisons("default", 0, "small")
        kept = [Conversation(one.request, COMPARISON, one.at, "default", "", document) for one in rows]
        ledger.conversations.store(kept)
        ledger.conversations.store(kept[:3])
        answered = Conversation(rows[0].request, BY_TEACHER, rows[0].at, "default", "", document)
        ledger.conversations.store([answered])
        (found,) = ledger.conversations.kept("default", rows[0].at)
        assert found.document["messages"] == [{"role": "user", "content": "nul \x00, half ?"}]
        assert (found.kind, found.student_version, found.feedback) == (BY_TEACHER, "small", None)
        assert (found.student_score, found.teacher_score) == (rows[0].student_score, rows[0].teacher_score)
        for one in (*rows[:5], rows[0]):
            ledger.conversations.put_verdict(one.request, 1, Verdict.TIE)
        asked = ledger.judged_pairs.asked(rows[0].request)
        assert asked is not None
        assert asked.pair.messages == [{"role": "user", "content": "nul \x00, half ?"}]
        assert len(ledger.conversations.audited("default", 0, "small")) == 5
        assert ledger.conversations.purge(rows[2].at) == 3
        assert ledger.conversations.purge() == 10
    finally:
        engine.dispose()
        ledger.close()
