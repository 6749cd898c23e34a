"""How far a scorer can be trusted, from pairs that people judged."""

from __future__ import annotations

import pytest

from breakeven.gateway.road.audit import Audited, Trust, Verdict, trust

STUDENT, TEACHER, TIE = Verdict.STUDENT, Verdict.TEACHER, Verdict.TIE


def found(*pairs: tuple[float, float, Verdict, int]) -> Trust:
    """The trust from pairs of scores and a verdict, each so many times."""
    measured = trust([Audited(*scores, verdict) for *scores, verdict, count in pairs for _ in range(count)])  # type: ignore[call-arg]
    assert measured is not None
    return measured


@pytest.mark.parametrize(
    ("student", "teacher", "agreeing"),
    [
        (0.8, 0.6, {STUDENT}),
        (0.6, 0.8, {TEACHER}),
        (0.7, 0.7, {TIE}),
        # With the full score for both the scorer cannot say that the student's is better still.
        (1.0, 1.0, {TIE, STUDENT}),
        (0.0, 0.0, {TIE}),
    ],
)
def test_a_person_agrees_with_scores_that_say_the_same(student: float, teacher: float, agreeing: set[Verdict]) -> None:
    assert {verdict for verdict in Verdict if Audited(student, teacher, verdict).agrees} == agreeing


def test_the_agreement_has_wilsons_interval() -> None:
    measured = found((1.0, 1.0, TIE, 41), (1.0, 1.0, TEACHER, 9))
    assert measured.pairs == 50
    assert measured.agreement == pytest.approx((0.82, 0.692, 0.902), abs=1e-3)


def test_a_contradiction_counts_as_much_as_the_scorers_own_differences() -> None:
    # The scorer finds differences of 0.2 and 0.4, 0.3 in the mean; of five ties people prefer the teacher's in two.
    scored = ((0.8, 0.6, STUDENT, 1), (0.4, 0.8, TEACHER, 1), (0.7, 0.7, TIE, 3))
    assert found(*scored, (0.7, 0.7, TEACHER, 5)).bias.value == pytest.approx(0.15)
    assert found(*scored, (0.7, 0.7, STUDENT, 5)).bias.value == pytest.approx(-0.15)
    assert found(*scored, (0.7, 0.7, TIE, 5)).bias.value == 0.0
    # A checker has no other difference than the whole scale.
    checked = found((1.0, 1.0, TIE, 8), (1.0, 1.0, TEACHER, 1), (0.0, 1.0, TIE, 1))
    assert checked.bias.value == 0.0
    assert found((1.0, 1.0, TIE, 8), (1.0, 1.0, TEACHER, 2)).bias.value == pytest.approx(0.2)


def test_the_interval_of_the_bias_has_a_width_without_a_contradiction_and_becomes_narrower() -> None:
    few, many = (found((0.0, 1.0, TEACHER, count)).bias for count in (20, 2000))
    assert few.value == many.value == 0.0
    assert -0.15 < few.low < -0.05 < many.low < 0.0 < many.high < 0.05 < few.high < 0.15


def test_people_refute_a_scorer_from_twenty_pairs_on() -> None:
    assert found((1.0, 1.0, TEACHER, 19)).confirmed(0.98) is None
    assert found((1.0, 1.0, TEACHER, 20)).confirmed(0.98) is False
    # It agrees on few pairs, but errs to both sides alike.
    assert found((1.0, 1.0, TEACHER, 15), (0.0, 1.0, TIE, 15)).confirmed(0.98) is False
    assert found((1.0, 1.0, TIE, 12), (1.0, 1.0, TEACHER, 8)).confirmed(0.98) is False
    assert found((1.0, 1.0, TIE, 20)).confirmed(0.98) is True


def test_a_kind_scorer_is_refuted_by_its_bias_alone_at_a_high_floor() -> None:
    kind = found((1.0, 1.0, TIE, 340), (1.0, 1.0, TEACHER, 60))
    assert kind.agreement.low > 0.8
    assert (kind.confirmed(0.98), kind.confirmed(0.8)) == (False, True)
    # A hard one wrongs nobody.
    hard = found((1.0, 1.0, TIE, 340), (0.0, 1.0, TIE, 60))
    assert hard.confirmed(0.98) is True


def test_pairs_that_were_asked_about_often_count_less() -> None:
    # A half of the pairs is asked about nine times as often, and the scorer is wrong on all of these.
    often, rarely = Audited(1.0, 1.0, TEACHER, 0.9), Audited(1.0, 1.0, TIE, 0.1)
    measured = trust([often] * 90 + [rarely] * 10)
    assert measured is not None
    assert (measured.agreement.value, measured.bias.value) == (pytest.approx(0.5), pytest.approx(0.5))
    # Few pairs with large weights say less than a hundred of the same weight.
    by_lot = trust([often] * 50 + [rarely._replace(chosen=0.9)] * 50)
    assert by_lot is not None
    assert measured.agreement.low < by_lot.agreement.low - 0.05


def test_it_is_said_in_words() -> None:
    kind = found((1.0, 1.0, TIE, 41), (1.0, 1.0, TEACHER, 9))
    assert kind.text("the judge big", 0.9) == (
        "on 50 pairs the judge big agrees with people on 82% (69% to 90%); it is kinder to the student by 0.18 (0.06 "
        "to 0.29); people do not refute it for a floor of 90.0%"
    )
    assert kind.text("the judge big", 0.98).endswith(
        "people do not confirm it for a floor of 98.0%, and the stage does not advance"
    )
    hard = found((0.5, 1.0, TIE, 5))
    assert "harder on the student by 0.50 (" in hard.text("the scorer json", 0.98)
    assert hard.text("the scorer json", 0.98).endswith("with fewer than 20 pairs that decides nothing")
    assert trust([]) is None
