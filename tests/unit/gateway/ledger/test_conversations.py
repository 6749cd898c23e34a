"""Stored conversations of comparisons, and what people said of them."""

from __future__ import annotations

from pathlib import Path

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.conversation_tables import COMPARISON
from breakeven.gateway.ledger.conversations import Conversation, KeptAnswer, KeptCall, pair_document
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


def test_pairs_are_those_of_the_student_with_what_is_known_of_each(ledger: Ledger, tmp_path: Path) -> None:
    enter(tmp_path, 30)
    enter(tmp_path, 5, student="other")
    rows = compared(ledger)
    keep(ledger, rows[:20])
    found = {one.request: one for one in ledger.judged_pairs.pairs("default", 0, "small")}
    assert found.keys() == {id for id, _ in rows}
    assert {id for id, one in found.items() if one.stored} == {id for id, _ in rows[:20]}
    assert {(one.verdict, one.chosen, one.judged) for one in found.values()} == {(None, None, None)}
    first = rows[0][0]
    asked = ledger.judged_pairs.asked(first)
    assert asked is not None
    assert asked.pair.messages == [{"role": "user", "content": "hi ? there \x00"}]
    assert asked.pair.student == KeptAnswer("yes", (KeptCall("find", '{"q": 1}'),))
    assert asked.pair.teacher == KeptAnswer("no")
    assert ledger.judged_pairs.asked(rows[25][0]) is None
    since = rows[15][1]
    assert {one.request for one in ledger.judged_pairs.pairs("default", since, "small")} == {id for id, _ in rows[15:]}
    assert ledger.judged_pairs.pairs("coding", 0, "small") == []
    assert len(ledger.judged_pairs.pairs("default", 0, "other")) == 5


def test_the_probability_of_being_asked_is_never_lowered_and_outlives_the_conversation(
    ledger: Ledger, tmp_path: Path
) -> None:
    enter(tmp_path, 3)
    rows = compared(ledger)
    keep(ledger, rows)
    first, second = rows[0][0], rows[1][0]
    ledger.conversations.put_verdict(first, 1, Verdict.TEACHER)
    for chosen in (0.25, 0.5, 0.125):
        ledger.judged_pairs.put_chosen("default", 1, {first: chosen, second: chosen / 2})
    assert ledger.conversations.purge() == 3
    found = {one.request: (one.chosen, one.verdict) for one in ledger.judged_pairs.pairs("default", 0, "small")}
    assert (found[first], found[second]) == ((0.5, Verdict.TEACHER), (0.25, None))
    assert [one.chosen for one in ledger.conversations.audited("default", 0, "small")] == [0.5]


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
