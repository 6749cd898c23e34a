"""The type of a recorded prompt, and parsing of the tables that prompts are written in."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from breakeven.models.scoring.checkers import Checker


class Prompt(msgspec.Struct, frozen=True):
    """A prompt, the checker and the reference for its answers, and a reference answer (`teacher`) that passes."""

    category: str
    prompt: str
    checker: Checker
    reference: str
    teacher: str


def table(text: str) -> Iterator[list[str]]:
    """The rows of a table as lists of cells: a row for each line, cells separated by ` => `."""
    for line in text.strip().splitlines():
        yield [cell.strip() for cell in line.split(" => ")]


def first(reference: str) -> str:
    """The first of a reference's alternatives, which are separated by `|`."""
    return reference.split("|")[0].strip()
