"""The support desk example: its answers are right and reproducible."""

from __future__ import annotations

import datetime
import re

from breakeven.models.examples.support import COMMON, UNUSUAL, cases, is_common
from breakeven.models.scoring import checkers


def test_the_same_seed_gives_the_same_cases_and_most_are_common() -> None:
    made = cases(1000, 7)
    assert made == cases(1000, 7)
    assert made != cases(1000, 8)
    assert len({case.prompt for case in made}) == 1000
    share = sum(is_common(case.kind) for case in made) / 1000
    # Shipping has few distinct prompts, so that a little more than 20% of the distinct ones are unusual.
    assert 0.7 < share < 0.85
    assert {case.kind for case in made} == {*COMMON, *UNUSUAL}


def test_sums_and_dates_are_right() -> None:
    seen = 0
    for case in cases(1500, 3):
        numbers = [float(n) for n in re.findall(r"\d+\.\d+|\d+", case.prompt)]
        if case.kind == "refund":
            _, price, back, fee = numbers
            assert case.answer == f"You get back {price * back * (1 - fee / 100):.2f} EUR."
        elif case.kind == "total":
            shipping = {"Spain": 7.9, "Norway": 12.5, "Italy": 6.4, "Poland": 5.2, "Ireland": 8.8, "Greece": 9.6}
            country = next(name for name in shipping if name in case.prompt)
            a, one, b, two = numbers
            assert case.answer == f"That is {a * one + b * two + shipping[country]:.2f} EUR."
        elif case.kind == "date":
            start = datetime.datetime.strptime(re.search(r"on (\d+ \w+ 2026)", case.prompt)[1], "%d %B %Y")
            end = start + datetime.timedelta(days=numbers[-1])
            assert case.answer == f"It will be there on {end:%d %B %Y}."
        else:
            continue
        seen += 1
    assert seen > 100


def test_every_answer_passes_its_own_checker_and_a_wrong_one_does_not() -> None:
    for case in cases(300, 5):
        reference = case.answer.split()[-2] if case.checker == "number" else case.answer
        assert checkers.score(case.checker, reference, case.answer) == 1.0
        assert checkers.score(case.checker, reference, "LOOKUP 1") == 0.0
