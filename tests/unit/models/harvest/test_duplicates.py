"""Near-duplicates, with templates and with conversations that go on."""

from __future__ import annotations

import random
from typing import Any

from breakeven.models.harvest.duplicates import near_duplicates

WORDS = [
    f"{start}{end}" for start in ("ba", "ce", "do", "fi", "gu", "ha") for end in ("den", "lor", "mis", "rut", "tan")
]
TEMPLATE = "Classify the ticket below into one of the classes that the handbook of our support desk has. " * 4


def asked(text: str, system: str = "") -> list[dict[str, Any]]:
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": text}]


def told(seed: int, count: int = 40) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def test_the_first_of_two_alike_is_kept() -> None:
    text = told(1)
    found = near_duplicates(
        [asked(text), asked(told(2)), asked(text.upper() + "  "), asked(text + " Thanks!"), asked(told(3))], 0.85
    )
    assert found == [None, None, 0, 0, None]


def test_half_of_a_text_is_none() -> None:
    assert near_duplicates([asked(told(1)), asked(told(1)[:150] + told(2)[:150])], 0.85) == [None, None]
    assert near_duplicates([asked(told(1)), asked(told(1) + " Thanks!")], 1.0) == [None, None]
    assert near_duplicates([asked(told(1)), asked(told(1))], 1.0) == [None, 0]


def test_a_template_of_the_client_makes_no_two_alike() -> None:
    tickets = [asked(f"{TEMPLATE}{told(seed, 12)}") for seed in range(50)]
    assert near_duplicates(tickets, 0.85) == [None] * 50
    assert near_duplicates([*tickets, tickets[7]], 0.85)[-1] == 7


def test_what_many_ask_in_the_same_words_is_kept_once() -> None:
    found = near_duplicates(
        [asked("How do I reset my password?"), *(asked(told(seed)) for seed in range(10))] * 3, 0.85
    )
    assert found == [None] * 11 + list(range(11)) * 2


def test_a_system_message_does_not_count() -> None:
    system = told(9, 200)
    assert near_duplicates([asked(told(1), system), asked(told(2), system)], 0.85) == [None, None]
    assert near_duplicates([asked(told(1), system), asked(told(1), "another")], 0.85) == [None, 0]


def test_the_next_turn_is_another_row() -> None:
    first = asked(told(1, 400))
    second = [*first, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And what does it cost?"}]
    assert near_duplicates([first, second], 0.85) == [None, None]
    assert near_duplicates([second, second], 0.85) == [None, 0]
    yes = [*asked(told(2)), {"role": "assistant", "content": "Really?"}, {"role": "user", "content": "Yes."}]
    other = [*asked(told(3)), {"role": "assistant", "content": "Really?"}, {"role": "user", "content": "Yes."}]
    assert near_duplicates([yes, other], 0.85) == [None, None]


def test_empty_contents_are_read() -> None:
    called = [*asked("hi"), {"role": "assistant", "content": None}, {"role": "tool", "content": ""}]
    assert near_duplicates([called, called, []], 0.85) == [None, 0, None]
