"""Around a pool: the signals that stop it gently, and the progress that it shows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from breakeven.gateway.accounting.money import PICODOLLARS
from breakeven.models.client.budget import Budget
from breakeven.models.client.journal import Journal
from breakeven.models.errors import DistillError


class Stoppable(Protocol):
    """What can be told to start nothing more."""

    def stop(self, reason: str, message: str) -> None:
        """End as soon as what is under way has ended."""


def api_key(variable: str | None) -> str | None:
    """The key in an environment variable; None where none is named. Raises DistillError where it is not set."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise DistillError(f"the environment variable {variable} is not set or empty; put the API key there")
    return key


T = TypeVar("T")


def read_text(option: str, path: Path) -> str:
    """The text of a file that an option names. Raises DistillError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DistillError(f"{option} {path}: cannot be read as UTF-8 text: {error}") from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end. Raises DistillError where a second signal cut it off."""
    try:
        return asyncio.run(work)
    except asyncio.CancelledError:
        raise DistillError(
            "interrupted twice: the calls under way were cut off and count as possibly paid; "
            "all answers are kept, the same command goes on from there"
        ) from None


@contextlib.contextmanager
def stopped_by_signals(pool: Stoppable) -> Iterator[None]:
    """The first SIGINT or SIGTERM lets the calls under way end; a second one cuts them off."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:
            task.cancel()
        asked = True
        pool.stop("interrupted", "interrupted; all answers are kept, the same command goes on from there")

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class Meter:
    """Shows how many calls are answered, what they cost so far, and what all of them will cost at that rate."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[cost]}"),
            TimeRemainingColumn(),
            console=console,
            transient=False,
        )
        self._keys: set[str] = set()
        self._begun = (0, 0)

    @contextlib.contextmanager
    def over(self, title: str, keys: set[str], journal: Journal, budget: Budget) -> Iterator[None]:
        """Show the progress of the calls with these keys; `show` brings it up to date."""
        self._keys = keys
        done = self._done(journal)
        self._begun = (done, journal.spent)
        with self._progress:
            self._task = self._progress.add_task(title, total=len(keys), completed=done, cost="")
            self.show(journal, budget)
            yield
            self.show(journal, budget)

    def show(self, journal: Journal, budget: Budget, said: str = "") -> None:
        """Bring the display up to date; `said` is shown behind the cost."""
        if self._keys:
            done = self._done(journal)
            cost = self._cost(done, journal, budget) + (f"; {said}" if said else "")
            self._progress.update(self._task, completed=done, cost=cost)

    def _done(self, journal: Journal) -> int:
        return len(self._keys & journal.replies.keys())

    def _cost(self, done: int, journal: Journal, budget: Budget) -> str:
        text = f"{_dollars(journal.spent)} USD so far"
        fresh = done - self._begun[0]
        if fresh:
            each = (journal.spent - self._begun[1]) / fresh
            text += f", {_dollars(journal.spent + each * (len(self._keys) - done))} expected"
        if budget.limit is not None:
            text += f", limit {_dollars(budget.limit)}"
        return text


def _dollars(pico: float) -> str:
    return f"{pico / PICODOLLARS:,.4f}"
