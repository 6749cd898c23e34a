"""One recorded prompt, and reading the hand-written tables of them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from breakeven.models.scoring.checkers import Checker


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
