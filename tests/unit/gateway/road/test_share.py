"""The share of the hardest requests as a threshold."""

from __future__ import annotations

import random

import pytest

from breakeven.gateway.road.share import MIN_SCORES, Turns, harder_than, share_of_decisions, share_threshold


def realised(seen: list[tuple[float, float]], threshold: float, novel: float = 1.0) -> float:
    return sum(score >= threshold or novelty >= novel for score, novelty in seen) / len(seen)


def test_too_few_scores_give_no_threshold() -> None:
    assert share_threshold([(0.5, 0.0)] * (MIN_SCORES - 1), 1.0, 0.2) is None
    assert share_threshold([(0.5, 0.0)] * MIN_SCORES, 1.0, 0.2) is not None


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_distinct_scores_is_the_wanted_one(share: float, seed: int) -> None:
    rng = random.Random(seed)
    seen = [(rng.betavariate(5, 2), rng.random()) for _ in range(1000)]
    threshold = share_threshold(seen, 1.0, share)
    assert threshold is not None
    assert realised(seen, threshold) == pytest.approx(share, abs=0.001)


def test_the_order_of_the_requests_makes_no_difference() -> None:
    rng = random.Random(1)
    seen = [(rng.choice([0.1, 0.4, 0.8]), rng.random()) for _ in range(500)]
    other = seen[:]
    rng.shuffle(other)
    assert share_threshold(seen, 0.9, 0.3) == share_threshold(other, 0.9, 0.3)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # Of 300: the wanted 60 lie among the 200 of score .6, and 40 are closer to 60 than 240 are.
        ({0.1: 60, 0.6: 200, 0.9: 40}, 40),
        ({0.1: 235, 0.6: 50, 0.9: 15}, 65),
        # None is closer than all.
        ({0.5: 300}, 0),
        # Half of it away on either side: the smaller share.
        ({0.1: 200, 0.5: 100, 0.9: 0}, 100),
        ({0.1: 180, 0.5: 120}, 0),
    ],
)
def test_tied_requests_miss_the_share_as_little_as_can_be(counts: dict[float, int], expected: int) -> None:
    seen = [(score, 0.0) for score, count in counts.items() for _ in range(count)]
    threshold = share_threshold(seen, 1.0, 0.2)
    assert threshold is not None
    assert round(realised(seen, threshold) * len(seen)) == expected


def test_novel_requests_are_part_of_the_share() -> None:
    rng = random.Random(2)
    seen = [(rng.random(), 0.995 if number % 10 == 0 else 0.5) for number in range(1000)]
    threshold = share_threshold(seen, 0.99, 0.2)
    assert threshold is not None
    assert realised(seen, threshold, 0.99) == pytest.approx(0.2, abs=0.001)
    none_but_novel = share_threshold(seen, 0.99, 0.05)
    assert none_but_novel is not None
    assert realised(seen, none_but_novel, 0.99) == pytest.approx(0.1)
    assert share_threshold([(0.5, 1.0)] * 300, 0.99, 0.2) == 1.0


def test_harder_than_counts_lower_scores_and_half_of_the_same() -> None:
    seen = [(0.1, 0.0)] * 100 + [(0.5, 0.0)] * 50 + [(0.9, 0.0)] * 50
    assert harder_than(0.5, seen) == pytest.approx(0.625)
    assert harder_than(0.05, seen) == 0.0
    assert harder_than(0.95, seen) == 1.0
    assert harder_than(0.5, seen[1:]) is None


@pytest.mark.parametrize(("on_teacher", "on_student"), [(1, 1), (4, 1), (4, 3), (1, 6)])
def test_of_conversations_the_turns_that_follow_are_counted(on_teacher: int, on_student: int) -> None:
    """`on_teacher` and `on_student` requests for each decision."""
    decided = 20_000
    teacher = Turns(decided, decided * (on_teacher - 1))
    student = Turns(decided, decided * (on_student - 1))
    share = share_of_decisions(0.2, teacher, student)
    of_teacher, of_student = share * on_teacher, (1 - share) * on_student
    assert of_teacher / (of_teacher + of_student) == pytest.approx(0.2, abs=0.001)


def test_a_few_long_conversations_change_little() -> None:
    assert share_of_decisions(0.2, Turns(), Turns()) == pytest.approx(0.2)
    assert share_of_decisions(0.2, Turns(1, 9), Turns(1, 0)) > 0.1
    assert [share_of_decisions(one, Turns(100, 300), Turns(100, 0)) for one in (0.0, 1.0)] == [0.0, 1.0]
