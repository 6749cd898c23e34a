"""Each checker on right, wrong and nearly right answers."""

from __future__ import annotations

import pytest

from breakeven.models.scoring.checkers import score


@pytest.mark.parametrize(
    ("checker", "reference", "answer", "right"),
    [
        ("exact", "enots", " Enots.\n", True),
        ("exact", "enots", '"enots"', True),
        ("exact", "enots", "It is enots", False),
        ("contains", "Paris", "the capital is PARIS.", True),
        ("contains", "Paris", "Comparison", False),
        ("contains", "Mexico City", "It is Mexico\n City", True),
        ("contains", "nine | 9", "at 9 o'clock", True),
        ("contains", "nine | 9", "at 19:30", False),
        ("contains", "[3, 10]", "prints [3, 10]", True),
        ("contains", "The end.", "He wrote: The end.", True),
        ("choice", "yes | no", "Yes, it is.", True),
        ("choice", "yes | no", "No.", False),
        ("choice", "yes | no", "Yes and no.", False),
        ("choice", "yes | no", "Yes, you know it.", True),
        ("choice", "yes | no", "", False),
        ("number", "15", "47 - 32 = 15", True),
        ("number", "15", "15 is what is left of 47", False),
        ("number", "1234.5", "It is **1,234.50**.", True),
        ("number", "-3", "The result is -3.", True),
        ("number", "3", "8-3", True),
        ("number", "3", "three", False),
        ("json", '{"a": 1, "b": ["x"]}', 'Here: ```json\n{"b": ["x"], "a": 1.0}\n```', True),
        ("json", '{"a": 1}', '{"a": true}', False),
        ("json", '{"a": 1}', '{"a": 1, "b": 2}', False),
        ("json", '{"a": 1}', 'a set {x} and then {"a": 1}', True),
        ("json", "[1, 2]", "[2, 1]", False),
        ("json", '{"a": 1}', "no JSON at all", False),
    ],
)
def test_checkers_score_answers(checker: str, reference: str, answer: str, right: bool) -> None:
    assert score(checker, reference, answer) == float(right)


def test_an_unknown_checker_and_an_empty_alternative_are_errors() -> None:
    with pytest.raises(ValueError, match="unknown checker 'regex'; one of exact"):
        score("regex", "a", "a")
    with pytest.raises(ValueError, match="an alternative is empty"):
        score("contains", "a | ", "a")
    with pytest.raises(ValueError, match="could not convert"):
        score("number", "ten", "10")
