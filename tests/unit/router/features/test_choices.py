"""Features of multiple-choice prompts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.features.choices import MEASURES, choices, measure


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Which?\nA. red\nB. dark blue\nAnswer:", ["red", "dark blue"]),
        ("Which?\r\n(a) red\r\n(b) dark blue\r\n", ["red", "dark blue"]),
        ("Which?\n 1) red \n\n 2) dark blue\n", ["red", "dark blue"]),
        ("- one\n- two\nand then\n* three\n* four\n* five\nbye", ["three", "four", "five"]),
        ("- one\n- two\nor\n\u2022 three\n\u2022 four", ["three", "four"]),
        ("1. only one\nis no choice", []),
        ("A. in one line B. is none", []),
        ("a = 1\nb = 2", []),
        ("Hello.\nDear all,\nI. e. nothing", []),
        ("", []),
    ],
)
def test_the_options_are_the_longest_run_of_list_items(text: str, found: list[str]) -> None:
    assert choices(text) == found


def test_measures_of_four_options_match_values_computed_by_hand() -> None:
    said = dict(zip(MEASURES, measure("Q?\nA. red fox\nB. red dog\nC. Red fox!\nD. a cat sat"), strict=True))
    assert said["length of choices"] == pytest.approx(math.log1p((7 + 7 + 8 + 9) / 4))
    assert said["spread of their lengths"] == pytest.approx(math.log1p(math.sqrt(11) / 4))
    assert said["longest to shortest choice"] == pytest.approx(math.log(9 / 7))
    assert said["likeness of choices"] == pytest.approx((1 / 3 + 1 + 0 + 1 / 3 + 0 + 0) / 6)
    assert (said["two most alike"], said["two least alike"]) == (1.0, 0.0)


def test_without_options_all_measures_are_zero() -> None:
    assert set(measure("What is the capital of France?")) == {0.0}
    assert set(measure("Dear all,\nwhat is the capital of France?")) == {0.0}


@given(
    st.lists(st.sampled_from(["A. ", "- ", "1) ", "\n", "\r\n", "word ", "\ud800", "\u00e9", " ", "\0"])).map("".join)
)
def test_measures_are_bounded_for_every_text(text: str) -> None:
    said = measure(text)
    assert len(said) == len(MEASURES)
    assert all(0.0 <= value < 20.0 for value in said)
    assert all(value <= 1.0 for value in said[3:])


def test_only_the_first_ten_options_are_compared() -> None:
    ten = "".join(f"- choice {number}\n" for number in range(10))
    assert measure(ten + "- something else altogether\n" * 500) == measure(ten)
