"""Stored conversations of comparisons, and what people said of them."""

from __future__ import annotations

from pathlib import Path

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.conversations import COMPARISON, Conversation, KeptAnswer, KeptCall, pair_document
from breakeven.gateway.ledger.keeping import encoded
from breakeven.gateway.road.audit import Audited, Verdict
from breakeven.gateway.wire.answers import Answer, Call
from tests.contract.road_rows import enter

SAID = [{"role": "user", "content": "hi \ud800 there \x00"}]


def keep(ledger: Ledger, rows: list[tuple[str, int]], text: str = "yes") -> None:
    document = encoded(pair_document(SAID, Answer(text, (Call("find", '{"q": 1}'),)), Answer("no")))
    ledger.conversations.store([Conversation(id, COMPARISON, at, "default", "", document) for id, at in rows])


def compared(ledger: Ledger) -> list[tuple[str, int]]:
    return [(one.request, one.at) for one in ledger.road.comparisons("default", 0, "small")]


def test_pairs_are_drawn_among_those_that_nobody_has_judged(ledger: Ledger, tmp_path: Path) -> None:
    enter(tmp_path, 30)
    enter(tmp_path, 5, student="other")
    rows = compared(ledger)
    keep(ledger, rows[:20])
    first = ledger.conversations.unaudited("default", 0, "small", 10)
    assert len(first) == 10
    pair = first[0].pair
    assert pair.messages == [{"role": "user", "content": "hi ? there \x00"}]
    assert pair.student == KeptAnswer("yes", (KeptCall("find", '{"q": 1}'),))
    assert pair.teacher == KeptAnswer("no")
    assert [one.request for one in first] != [id for id, _ in rows[:10]], "not in the order of time"
    for one in first:
        ledger.conversations.put_verdict(one.request, 1, Verdict.TIE)
    rest = ledger.conversations.unaudited("default", 0, "small", 50)
    assert {one.request for one in (*first, *rest)} == {id for id, _ in rows[:20]}
    since = rows[15][1]
    assert {one.request for one in ledger.conversations.unaudited("default", since, "small", 50)} <= {
        id for id, _ in rows[15:20]
    }
    assert ledger.conversations.unaudited("coding", 0, "small", 50) == []
    assert ledger.conversations.unaudited("default", 0, "other", 50) == []


def test_verdicts_come_with_the_scores_and_outlive_the_conversation(ledger: Ledger, tmp_path: Path) -> None:
    enter(tmp_path, 8)
    rows = compared(ledger)
    keep(ledger, rows)
    for id, _ in rows:
        ledger.conversations.put_verdict(id, 1, Verdict.STUDENT)
    ledger.conversations.put_verdict(rows[0][0], 2, Verdict.TEACHER)
    scores = [(one.student_score, one.teacher_score) for one in ledger.road.comparisons("default", 0, "small")]
    assert ledger.conversations.purge() == 8
    said = ledger.conversations.audited("default", 0, "small")
    wanted = [Audited(*scores[0], Verdict.TEACHER), *(Audited(*one, Verdict.STUDENT) for one in scores[1:])]
    assert sorted(said) == sorted(wanted)
    assert ledger.conversations.audited("default", rows[-1][1] + 1, "small") == []


def test_what_is_stored_is_kept_until_it_is_purged(ledger: Ledger) -> None:
    keep(ledger, [("a", 10), ("b", 20)])
    keep(ledger, [("b", 20), ("c", 30)], text="again")
    assert ledger.conversations.purge(20) == 1
    assert ledger.conversations.purge() == 2
