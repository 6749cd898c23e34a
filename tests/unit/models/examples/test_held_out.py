"""The held-out requests of the support desk: new, right, and not to be told apart by their surface."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from breakeven.models.examples.held_out import SURFACE, TRAINED_ON, TRAINING_SEED, held_out, surface_auroc
from breakeven.models.examples.new_kinds import NEW_KINDS
from breakeven.models.examples.support import COMMON, UNUSUAL, Case, cases, is_common, reference_of
from breakeven.models.scoring import checkers

CASES = held_out()
# A prompt with its values left out: what remains is the template.
_VALUES = re.compile(r"\S+@\S+|\d[\d.]*")


@pytest.mark.parametrize("measure", SURFACE)
def test_the_surface_does_not_give_the_class_away(measure: str) -> None:
    assert 0.25 <= surface_auroc(measure, [one.case for one in CASES]) <= 0.75


def test_length_does_give_the_class_away_among_the_requests_of_the_training() -> None:
    """The check above can fail: it does for the requests that the student is trained on."""
    assert surface_auroc("characters", cases(TRAINED_ON, TRAINING_SEED)) > 0.9


def test_the_measure_of_separation_is_right() -> None:
    short, long = Case("status", "a", ""), Case("refund", "abc", "")
    assert surface_auroc("characters", [short, long]) == 1.0
    assert surface_auroc("characters", [short, long, Case("status", "abc", "")]) == 0.75


def test_no_request_was_in_training_and_most_have_wordings_that_were_not() -> None:
    trained = {case.prompt for case in cases(TRAINED_ON, TRAINING_SEED)}
    assert len(CASES) >= 600
    assert len({one.id for one in CASES}) == len({one.case.prompt for one in CASES}) == len(CASES)
    assert not trained & {one.case.prompt for one in CASES}
    wordings = Counter(one.wording for one in CASES)
    assert wordings["new wording"] > len(CASES) / 2
    assert wordings["new kind"] > len(CASES) / 12
    templates = {_VALUES.sub("", prompt) for prompt in trained}
    assert not [one for one in CASES if one.wording != "trained" and _VALUES.sub("", one.case.prompt) in templates]


def test_every_kind_is_there() -> None:
    assert {one.case.kind for one in CASES if one.wording == "new kind"} == set(NEW_KINDS)
    assert {one.case.kind for one in CASES if one.wording == "trained"} == {*COMMON, *UNUSUAL}
    assert {one.case.kind for one in CASES if one.wording == "new wording"} == {*COMMON, *UNUSUAL}
    assert 0.7 < sum(is_common(one.case.kind) for one in CASES) / len(CASES) < 0.8


def test_fewer_are_the_first_of_all() -> None:
    assert held_out(50) == CASES[:50]


def test_the_answers_are_right_and_told_by_the_prompt() -> None:
    for one in CASES:
        case = one.case
        assert checkers.score(case.checker, reference_of(case), case.answer) == 1.0
        if case.kind not in ("refund", "total", "date", "shipping", "cheaper"):
            # Everything but the command stands in the prompt.
            assert all(word in case.prompt for word in re.findall(r"[a-z0-9@.]{3,}", case.answer)), one.id
