"""What the judges' verdicts on compared pairs say of the judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from breakeven.gateway.accounting.record import Verdicts
from breakeven.router.judging import Consistency, Length, Orders, consistency, length

_WINNERS: dict[str, Literal["student", "teacher"]] = {"AB": "student", "BA": "teacher"}
_CONSISTENT = frozenset({"AB", "BA", "TT"})


class Judge(NamedTuple):
    """A judge, the consistency of its verdicts, and whether they follow length, None where they do not say."""

    name: str
    consistency: Consistency
    length: Length | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        found, by_length = self.consistency, self.length
        return {
            "judge": self.name,
            "pairs": found.pairs,
            "same_in_both_orders": found.same._asdict(),
            "prefers_first": found.first,
            "prefers_last": found.last,
            "measures": found.reads,
            "longer_is_better": None if by_length is None else by_length.longer._asdict(),
            "follows_length": by_length is not None and by_length.follows,
        }

    def lines(self) -> list[str]:
        """For people."""
        said = [f"the judge {self.name} {self.consistency.text()}"]
        return said if self.length is None else [*said, f"it {self.length.text()}"]


def judges(verdicts: Sequence[Verdicts]) -> list[Judge]:
    """All judges of these verdicts, by name."""
    found = []
    for name in sorted({name for one in verdicts for name in one.judges}):
        own = [(one.judges[name], one) for one in verdicts if name in one.judges]
        reading = consistency([Orders(letters[:2], letters in _CONSISTENT) for letters, _ in own])
        assert reading is not None
        by_length = length(
            [(_WINNERS.get(letters, "tie"), one.student_length, one.teacher_length) for letters, one in own]
        )
        found.append(Judge(name, reading, by_length))
    return found


def verdict_of(letters: str) -> tuple[Literal["student", "teacher", "tie"], bool]:
    """What a judge's letters for both orders say: the better answer, and whether it said the same in both."""
    return _WINNERS.get(letters, "tie"), letters in _CONSISTENT


def measures(verdicts: Sequence[Verdicts]) -> bool:
    """Whether the verdicts measure the student: none of the judges is one that does not read the answers."""
    return all(one.consistency.reads for one in judges(verdicts))


def consistent(verdicts: Verdicts) -> bool:
    """Whether every judge says of this pair the same in both orders."""
    return all(letters in _CONSISTENT for letters in verdicts.judges.values())
