"""All prompts of the recorded set, each with its check and its reference answer."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from models.checkers import Checker

SEED = 20261125


class Prompt(msgspec.Struct, frozen=True):
    """A prompt, how its answers are checked, and an answer that passes the check."""

    category: str
    prompt: str
    checker: Checker
    reference: str
    teacher: str


def table(text: str) -> Iterator[list[str]]:
    """The rows of a hand-written table: a line each, cells between ` => `."""
    for line in text.strip().splitlines():
        yield [cell.strip() for cell in line.split(" => ")]


def first(reference: str) -> str:
    """The first alternative of a reference."""
    return reference.split("|")[0].strip()


def prompts() -> list[tuple[str, Prompt]]:
    """Every prompt with its id (category and number), mixed by a fixed seed."""
    from models.recorded import everyday, formats, reading, reasoning, writing

    numbered: list[tuple[str, Prompt]] = []
    for module in (everyday, reading, writing, reasoning, formats):
        counts: dict[str, int] = {}
        for prompt in module.prompts(random.Random(SEED)):
            counts[prompt.category] = counts.get(prompt.category, 0) + 1
            numbered.append((f"{prompt.category}-{counts[prompt.category]:03d}", prompt))
    random.Random(SEED).shuffle(numbered)
    return numbered
