"""Decisions in words: what makes a prompt look hard or easy, and prompts that are like it."""

from __future__ import annotations

import pytest

from breakeven.router.explain import SIGNS, alike, reasons
from breakeven.router.model.artifact import Artifact, load


@pytest.fixture(scope="module")
def shipped() -> Artifact:
    return load()


def said(shipped: Artifact, text: str) -> list[str]:
    return reasons(shipped.difficulty, text, hard=shipped.assess(text).score >= 0.5)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Prove that there are infinitely many primes.", "asks for a proof"),
        ("证明任意有限域的乘法群是循环群。", "asks for a proof"),
        ("Design a distributed message queue with per-key ordering across two regions.", "asks for a design"),
        ("Write a Python function that merges two sorted lists.", "asks for code"),
        ("Compare optimistic and pessimistic locking and their trade-offs.", "asks for a comparison"),
        ("Let $x^2+y^2=1$. Find the maximum of $xy$.", "has formulas"),
        ("hi", "a greeting or thanks"),
        ("thanks a lot!", "a greeting or thanks"),
        ("What's the capital of France?", "a short, plain question"),
        ("How can I track my order?", "a short, plain question"),
    ],
)
def test_what_a_person_would_say(shipped: Artifact, text: str, phrase: str) -> None:
    assert phrase in said(shipped, text)


@pytest.mark.parametrize("text", ["Prove that 2 > 1.", "hi", "What is love?", "Design a poster.", "", "1 + 1 = ?"])
@pytest.mark.parametrize("hard", [True, False])
def test_no_phrase_speaks_against_the_score(shipped: Artifact, text: str, hard: bool) -> None:
    against = {sign.phrase for sign in SIGNS if sign.harder != hard} | {"short" if hard else "long"}
    assert not against & set(reasons(shipped.difficulty, text, hard=hard))


def test_where_no_sign_is_found_words_of_the_prompt_are_named(shipped: Artifact) -> None:
    found = said(shipped, "Homology of moduli spaces, and the spectral sequence of a fibration with compact fibre")
    assert any(phrase.startswith('has words of hard prompts ("') for phrase in found)


def test_prompts_about_the_same_are_alike_and_others_are_not() -> None:
    refunds = [f"How do I get a refund for order {number}?" for number in range(5)]
    others = ["Translate good night to Spanish", "Write a poem about the sea", "What is the tallest mountain on earth?"]
    found = alike("how do i get a refund for order 77", [*others, *refunds])
    assert sorted(found) == [3, 4, 5, 6, 7]
    assert alike("zzz qqq", [*others, *refunds]) == []
    assert alike("how do i get a refund", []) == alike("", refunds) == []
    assert len(alike(refunds[0], refunds * 10, most=7)) == 7
