"""People's verdicts on compared pairs: which pairs to ask about, and the quality that they correct."""

from __future__ import annotations

from collections.abc import Sequence

from breakeven.gateway.ledger.judged import ComparedPair
from breakeven.gateway.road.choosing import Candidate, size
from breakeven.gateway.road.judges import consistent
from breakeven.router.corrected import LEAST, Case, Corrected, corrected


def candidates(pairs: Sequence[ComparedPair], *, by_judge: bool, by_lot: bool) -> list[Candidate]:
    """The pairs whose conversation is stored. `by_lot`: all of the same size, else by how much the scorer may err on
    them; `by_judge`: whether a judge scores, so that texts of which it said nothing were equal.
    """
    return [
        Candidate(one.request, 1.0 if by_lot else _size(one, by_judge=by_judge), one.verdict is not None)
        for one in pairs
        if one.stored
    ]


def by_people(pairs: Sequence[ComparedPair]) -> Corrected | None:
    """The share of the teacher's quality that the student keeps, as people's verdicts correct the scorer's; None with
    too few verdicts.
    """
    return corrected(
        [
            Case(
                one.student,
                one.teacher,
                one.weight,
                None if one.verdict is None else one.verdict.value,
                1.0 if one.chosen is None else one.chosen,
            )
            for one in pairs
        ]
    )


def corrected_text(found: Corrected | None, verdicts: int, floor: float) -> str:
    """For people. `verdicts`: how many there are of the pairs that count now."""
    if found is None:
        return f"{LEAST - verdicts} more verdicts of people, and they correct the student's quality"
    kept = found.retained
    said = (
        f"corrected by {found.labels} verdicts of people the student alone keeps {kept.value:.1%} ({kept.low:.1%} to "
        f"{kept.high:.1%}) of the teacher's quality"
    )
    return said if kept.high >= floor else f"{said}, surely less than the floor of {floor:.1%}"


def _size(one: ComparedPair, *, by_judge: bool) -> float:
    if one.judged is not None:
        return size(one.student, one.teacher, one.weight, consistent=consistent(one.judged))
    return size(one.student, one.teacher, one.weight, same_text=by_judge and one.student == one.teacher)
