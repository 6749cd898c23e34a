"""Compared pairs in the ledger."""

from __future__ import annotations

import msgspec

from breakeven.gateway.accounting.record import Outcome, Pair
from breakeven.gateway.economics.baseline import PricedPair
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.router.policy import Reason, Route
from tests.unit.gateway.ledger.records import record


def test_priced_pairs_are_read_newest_first_and_before_a_moment(ledger: Ledger) -> None:
    for at, key in ((HOUR, "team-a"), (2 * HOUR, ""), (3 * HOUR, "team-b")):
        pair = Pair(f"{at:032x}", at, 0.1, None, "0" * 12, 0.5, 1.0, 65, 7, 4.0, 10, 20, 30, 40, key, "support")
        ledger.settle(msgspec.structs.replace(record(at=at, reason=Reason.SHADOW), pair=pair))
    assert ledger.flush(20)
    expected = [PricedPair(key, 10, 20, 30, 40, 4.0, "support", 2) for key in ("team-b", "", "team-a")]
    assert ledger.priced_pairs() == expected
    assert [pair.key for pair in ledger.priced_pairs(3 * HOUR)] == ["", "team-a"]
    assert len(ledger.compared(0)) == 3


def pair(id: str, at: int, direction: str) -> Pair:
    return Pair(id, at, 0.1, None, "0" * 12, 0.5, 1.0, 65, 7, 1.0, 10, 20, 30, 40, direction=direction)


def test_answers_of_the_teacher_that_are_compared_say_nothing_of_the_quality_that_clients_get(ledger: Ledger) -> None:
    for at, direction in ((1, "teacher_answered"), (2, "student_answered"), (3, "teacher_answered")):
        made = pair(f"{at:032x}", at, direction)
        ledger.settle(msgspec.structs.replace(record(at=at, reason=Reason.SHADOW), pair=made))
    assert ledger.flush(20)
    assert sum(one.by_student for one in ledger.compared(0)) == 1
    assert [one.served for one in ledger.priced_pairs()] == [False, True, False]


def test_comparisons_without_a_verdict_are_those_of_which_the_student_answered(ledger: Ledger) -> None:
    """One with a verdict, one without, one of the teacher's failed answer, and one whose student failed."""
    outcomes = ((Route.STUDENT, True), (Route.STUDENT, True), (Route.TEACHER, False), (Route.STUDENT, False))
    for at, (asked, ok) in enumerate(outcomes, 1):
        one = record(id=f"{at + 100:032x}", at=at, route=asked, reason=Reason.SHADOW)
        call = msgspec.structs.replace(one.attempts[0], outcome=Outcome.OK if ok else Outcome.UPSTREAM_ERROR)
        of = pair(f"{at:032x}", at, "teacher_answered") if at == 1 else None
        ledger.settle(msgspec.structs.replace(one, request_id=f"{at:032x}", attempts=(call,), pair=of))
    assert ledger.flush(20)
    assert ledger.road.verdicts("default", 0, judged=False) == (1, 2)
