"""What can be said of a judge from its own verdicts: whether they depend on the order of the answers, and on length.

A judge that reads the answers says the same in both orders. One that always prefers the answer shown first never does:
each of its verdicts is a tie, and the student would seem to keep all of the teacher's quality. Its verdicts measure
nothing, and `Consistency.reads` is False for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from breakeven.router.statistics import Interval, Z, proportion

# A judge that surely says the same in both orders on fewer pairs than this measures nothing.
_CONSISTENT = 0.5
# Nor does one whose agreement with itself is surely no better than this beyond chance (Cohen's kappa, 1960), and which
# prefers neither model: verdicts drawn by lot have both.
_BEYOND_CHANCE = 0.4
# Better answer by the letters shown: the student's is A in the first order, and B in the second one.
_FIRST = {"A": "student", "B": "teacher", "T": "tie"}
_SECOND = {"A": "teacher", "B": "student", "T": "tie"}


class Orders(NamedTuple):
    """One judge's verdicts on a pair: `letters` are A, B or T (a tie) in both orders, such as "AB"; the student's
    answer is A in the first one. `consistent`: both say the same, and no scores contradict them.
    """

    letters: str
    consistent: bool


class Consistency(NamedTuple):
    """Over `pairs`: the share with the same verdict in both orders, with Wilson's 95% interval; `kappa`, the agreement
    beyond chance, None where chance alone agrees always; and the shares of all pairs of which the answer shown first,
    or the one shown last, was preferred in both orders. `reads`: whether the verdicts can measure anything.
    """

    pairs: int
    same: Interval
    kappa: float | None
    first: float
    last: float
    reads: bool

    def text(self) -> str:
        """For people, after the judge's name."""
        said = (
            f"says the same in both orders on {self.same.value:.0%} of {self.pairs} pairs ({self.same.low:.0%} to "
            f"{self.same.high:.0%}); it prefers the answer shown first on {self.first:.0%}, the one shown last on "
            f"{self.last:.0%}"
        )
        return said if self.reads else f"{said}: its verdicts measure nothing"


class Length(NamedTuple):
    """Over `pairs` with a better answer and different lengths: how often the longer one is the better, with Wilson's
    95% interval. `with_shorter`, `with_longer`: the share of the student's wins where its answer is the shorter one,
    and the longer one; None where there is no such pair.
    """

    pairs: int
    longer: Interval
    with_shorter: float | None
    with_longer: float | None

    @property
    def follows(self) -> bool:
        """Whether the verdicts surely follow the longer answer, whichever model wrote it."""
        both = self.with_shorter is not None and self.with_longer is not None
        return self.longer.low > 0.5 and both and (self.with_longer or 0.0) > (self.with_shorter or 0.0)

    def text(self) -> str:
        """For people, after the judge's name."""
        found = self.longer
        said = (
            f"prefers the longer answer in {found.value:.0%} ({found.low:.0%} to {found.high:.0%}) of {self.pairs} "
            "verdicts on answers of different length"
        )
        if self.with_shorter is not None and self.with_longer is not None:
            said += (
                f"; the student wins {self.with_longer:.0%} where its answer is the longer one, and "
                f"{self.with_shorter:.0%} where it is the shorter one"
            )
        return f"{said}: it may judge by length" if self.follows else said


def consistency(orders: Sequence[Orders]) -> Consistency | None:
    """The consistency of one judge's verdicts; None without any."""
    if not orders:
        return None
    count = len(orders)
    same = proportion(sum(one.consistent for one in orders), count)
    first = Counter(_FIRST[one.letters[0]] for one in orders)
    second = Counter(_SECOND[one.letters[1]] for one in orders)
    chance = sum(first[winner] * second[winner] for winner in ("student", "teacher", "tie")) / count**2
    kappa = None if chance >= 1.0 else (same.value - chance) / (1.0 - chance)
    by_lot = chance < 1.0 and (same.high - chance) / (1.0 - chance) < _BEYOND_CHANCE
    both = first + second
    balanced = abs(both["student"] - both["teacher"]) <= Z * (both["student"] + both["teacher"]) ** 0.5
    reads = same.high >= _CONSISTENT and not (by_lot and balanced)
    shares = [sum(one.letters == letters for one in orders) / count for letters in ("AA", "BB")]
    return Consistency(count, same, kappa, shares[0], shares[1], reads)


def length(verdicts: Sequence[tuple[str, int, int]]) -> Length | None:
    """Whether verdicts follow length, from the better answer (student, teacher or tie) and the lengths of the student's
    and the teacher's answer; None without a verdict on answers of different length.
    """
    decided = [(winner == "student", of - to) for winner, of, to in verdicts if winner != "tie" and of != to]
    if not decided:
        return None
    longer = proportion(sum(won == (more > 0) for won, more in decided), len(decided))
    shorter_wins = [won for won, more in decided if more < 0]
    longer_wins = [won for won, more in decided if more > 0]
    return Length(len(decided), longer, _mean(shorter_wins), _mean(longer_wins))


def _mean(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
