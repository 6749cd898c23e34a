"""What a judge's own verdicts say of it: does it read, does it follow length?"""

from __future__ import annotations

import random

import pytest

from breakeven.router.judging import Consistency, Length, Orders, consistency, length


def found(**counts: int) -> Consistency:
    """The consistency of verdicts by their letters, each so many times."""
    made = consistency(
        [Orders(letters, letters in ("AB", "BA", "TT")) for letters, count in counts.items() for _ in range(count)]
    )
    assert made is not None
    return made


def test_shares_match_values_computed_by_hand() -> None:
    made = found(AB=30, BA=40, TT=10, AA=15, BB=5)
    assert (made.pairs, made.first, made.last) == (100, 0.15, 0.05)
    assert made.same == pytest.approx((0.8, 0.711, 0.867), abs=1e-3)
    # First order: 45 student, 45 teacher, 10 tie; second: 35, 55, 10; by chance .45 * .35 + .45 * .55 + .01.
    assert made.kappa == pytest.approx((0.8 - 0.415) / (1 - 0.415))
    assert "says the same in both orders on 80% of 100 pairs (71% to 87%)" in made.text()
    assert consistency([]) is None


@pytest.mark.parametrize(
    ("reads", "counts"),
    [
        (False, {"AA": 8}),
        (False, {"BB": 100}),
        (False, {"AA": 90, "BA": 10}),  # only what is plainly bad is seen
        (False, {"AA": 25, "BB": 25, "AB": 25, "BA": 25}),
        (True, {"AB": 30, "BA": 40, "TT": 10, "AA": 15, "BB": 5}),
        (True, {"BA": 94, "AA": 3, "BB": 3}),  # a weak student: chance agrees often as well
        (True, {"TT": 50}),
        (True, {"AB": 100}),
        (True, {"AA": 3}),  # too few to tell
    ],
)
def test_a_judge_that_does_not_read_is_told_from_one_that_does(reads: bool, counts: dict[str, int]) -> None:
    made = found(**counts)
    assert made.reads is reads
    assert ("measure nothing" in made.text()) is not reads


def test_verdicts_by_lot_are_mostly_told_from_150_pairs_on() -> None:
    told = 0
    for seed in range(100):
        rng = random.Random(seed)
        drawn = [rng.choice("AB") + rng.choice("AB") for _ in range(150)]
        made = consistency([Orders(one, one in ("AB", "BA")) for one in drawn])
        told += made is not None and not made.reads
    assert told >= 90


def test_scores_that_contradict_the_letters_are_not_consistent() -> None:
    made = consistency([Orders("AB", False)] * 10)
    assert made is not None
    assert (made.same.value, made.reads) == (0.0, False)


def of_length(*verdicts: tuple[str, int, int, int]) -> Length:
    made = length([(winner, of, to) for winner, of, to, count in verdicts for _ in range(count)])
    assert made is not None
    return made


def test_a_judge_that_follows_length_is_told_from_one_that_does_not() -> None:
    follows = of_length(("student", 90, 50, 40), ("teacher", 50, 90, 40), ("student", 50, 90, 10), ("tie", 1, 2, 99))
    assert (follows.pairs, follows.with_longer, follows.with_shorter) == (90, 1.0, 0.2)
    assert follows.longer.value == pytest.approx(80 / 90)
    assert follows.follows
    assert follows.text().endswith("it may judge by length")
    even = of_length(("student", 90, 50, 20), ("teacher", 90, 50, 20), ("student", 50, 90, 20), ("teacher", 50, 90, 20))
    assert (even.longer.value, even.follows) == (0.5, False)
    # The teacher is better and always longer: that alone says nothing of the judge.
    better = of_length(("teacher", 50, 90, 100))
    assert (better.longer.value, better.with_longer, better.follows) == (1.0, None, False)
    assert length([("tie", 1, 2), ("student", 5, 5)]) is None
