"""A panel of judges: their judgements of a pair as one.

Several smaller judges of different families agree with people better than a single large one, and none favours its own
words alone (Verga et al., "Replacing Judges with Juries", arXiv 2404.18796, 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from breakeven.models.scoring.judge import Judgement, Winner

# mean: the means of the scores; majority: what more than half of the judges say, with the mean of their scores.
Rule = Literal["mean", "majority"]


def together(of_judges: Sequence[Sequence[Judgement | None]], rule: Rule) -> list[Judgement | None]:
    """One judgement for each pair, from those of each judge, in the order of the pairs.

    None where half of the judges or more gave none. A judgement is consistent if all of them are.
    """
    return [_one(found, rule) for found in zip(*of_judges, strict=True)]


def _one(found: tuple[Judgement | None, ...], rule: Rule) -> Judgement | None:
    given = [one for one in found if one is not None]
    if len(given) * 2 <= len(found):
        return None
    if len(found) == 1:
        return given[0]
    consistent = all(one.consistent for one in given)
    if rule == "mean":
        return _mean(given, consistent=consistent)
    for winner in ("student", "teacher"):
        agreeing = [one for one in given if one.winner == winner]
        if len(agreeing) * 2 > len(given):
            return _mean(agreeing, consistent=consistent)
    made = _mean(given, consistent=consistent)
    both = (made.student_score + made.teacher_score) / 2
    return made._replace(winner="tie", student_score=both, teacher_score=both)


def _mean(given: Sequence[Judgement], *, consistent: bool) -> Judgement:
    student = sum(one.student_score for one in given) / len(given)
    teacher = sum(one.teacher_score for one in given) / len(given)
    winner: Winner = "tie" if student == teacher else "student" if student > teacher else "teacher"
    return Judgement(winner, student, teacher, consistent, given[0].reason)
