"""Asking again where the row's checker finds the teacher's answer wrong, and choosing among the answers.

Rejection sampling, as in RFT (Yuan et al., 2023, arXiv 2308.01825), but only until the first right answer: the others
would be paid for without being used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from breakeven.models.client.chat import Reply
from breakeven.models.data import dataset
from breakeven.models.data.prompts import Prompt
from breakeven.models.errors import DistillError
from breakeven.models.scoring import checkers

# Replies of a prompt by output limit, by the name of the sample.
Answered = Mapping[str, Mapping[int, Reply]]


class Chosen(NamedTuple):
    """The answers to use by prompt key; the keys of prompts of which no answer was right; and of the prompts that can
    be checked how many were right at the first and at a later answer.
    """

    answers: dict[str, Reply]
    wrong: frozenset[str]
    right_at_once: int
    right_later: int


def check(prompts: Sequence[Prompt], best_of: int, temperature: float | None) -> None:
    """Raise DistillError where more than one answer to a prompt would be of no use."""
    if best_of == 1:
        return
    if temperature == 0:
        raise DistillError(
            f"--best-of {best_of}: with --temperature 0 all answers are the same; leave --temperature out"
        )
    if not any(map(_checkable, prompts)):
        raise DistillError(
            f"--best-of {best_of}: no row has checker and reference, which say whether an answer is right"
        )
    for one in filter(_checkable, prompts):
        try:
            _is_right(one, "")
        except ValueError as error:
            raise DistillError(f"--best-of {best_of}: row {one.id}: {error}") from None


def name_of(prompt: Prompt, number: int) -> str:
    """The name of the calls for a prompt's answer of this number, from 1 on."""
    return prompt.key if number == 1 else f"{prompt.key}#{number}"


def best_limit(answers: Mapping[int, Reply]) -> int | None:
    """The output limit of the answer to use: a complete one before a truncated one; None where there is no answer."""
    whole = [limit for limit, reply in answers.items() if dataset.state_of(reply) != "truncated"]
    return max(whole or answers, default=None)


def again(prompt: Prompt, answered: Answered, number: int) -> bool:
    """Whether the answer of this number is to be asked for: all before were given, and none is right."""
    if number == 1:
        return True
    before = [_reply(prompt, answered, one) for one in range(1, number)]
    return _checkable(prompt) and all(one is not None and not _is_right(prompt, one.text) for one in before)


def choose(prompts: Sequence[Prompt], answered: Answered, best_of: int) -> Chosen:
    """The first right answer to each prompt that can be checked, else its first answer."""
    answers: dict[str, Reply] = {}
    wrong: set[str] = set()
    at_once = later = 0
    for prompt in prompts:
        known = [one for number in range(1, best_of + 1) if (one := _reply(prompt, answered, number)) is not None]
        if not known:
            continue
        answers[prompt.key] = known[0]
        if best_of == 1 or not _checkable(prompt):
            continue
        right = next((place for place, one in enumerate(known) if _is_right(prompt, one.text)), None)
        if right is None:
            wrong.add(prompt.key)
            continue
        answers[prompt.key] = known[right]
        at_once, later = at_once + (right == 0), later + (right > 0)
    return Chosen(answers, frozenset(wrong), at_once, later)


def _reply(prompt: Prompt, answered: Answered, number: int) -> Reply | None:
    known = answered.get(name_of(prompt, number), {})
    limit = best_limit(known)
    return None if limit is None else known[limit]


def _checkable(prompt: Prompt) -> bool:
    # Where a model may call tools the reference does not say whether a text is right.
    return {"checker", "reference"} <= prompt.carried.keys() and "tools" not in prompt.asked


def _is_right(prompt: Prompt, text: str) -> bool:
    return checkers.score(str(prompt.carried["checker"]), str(prompt.carried["reference"]), text) == 1.0
