"""How far long work is, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

# Takes how many steps are done, and of how many.
Progress = Callable[[int, int], None]
Item = TypeVar("Item")


def quiet(done: int, of: int) -> None:
    """Show nothing."""


def counted(items: Iterable[Item], of: int, progress: Progress) -> Iterator[Item]:
    """The same items; after each one, `progress` is told how many of `of` are done."""
    for done, item in enumerate(items, 1):
        yield item
        progress(done, of)
