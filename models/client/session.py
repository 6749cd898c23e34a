"""Around a run of calls: graceful interruption by signals, progress display, and reading of keys and files."""

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

from breakeven.gateway.accounting.money import dollars
from breakeven.models.client.budget import Budget
from breakeven.models.client.journal import Journal
from breakeven.models.errors import DistillError


class Stoppable(Protocol):
    """A runner that can be told to start no more calls."""

    def stop(self, reason: str, message: str) -> None:
        """Start no more calls, and end once those in flight have ended; `message` is for the user."""


def api_key(variable: str | None) -> str | None:
    """The API key in an environment variable, or None for no variable.

    Raises DistillError where it is not set or empty.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise DistillError(f"the environment variable {variable} is not set or empty; put the API key there")
    return key


T = TypeVar("T")


def read_text(option: str, path: Path) -> str:
    """The text of the file that a command-line option names. Raises DistillError where it cannot be read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DistillError(f"{option} {path}: cannot be read as UTF-8 text: {error}") from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result. Raises DistillError where a second signal cancelled it."""
    try:
        return asyncio.run(work)
    except asyncio.CancelledError:
        raise DistillError(
            "interrupted twice: the calls in flight were cut off and count as possibly paid; "
            "all answers are kept: run the same command again to continue"
        ) from None


@contextlib.contextmanager
def stop_on_signals(pool: Stoppable) -> Iterator[None]:
    """While this context is open, the first SIGINT or SIGTERM stops the runner gracefully; a second one cancels the
    task.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:
            task.cancel()
        asked = True
        pool.stop("interrupted", "interrupted; all answers are kept: run the same command again to continue")

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class ProgressDisplay:
    """Shows how many calls are answered, their cost so far, and the expected cost of all of them."""

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
    def tracking(self, title: str, keys: set[str], journal: Journal, budget: Budget) -> Iterator[None]:
        """Display the progress of the calls with these keys while this context is open; `update` refreshes it."""
        self._keys = keys
        done = self._done(journal)
        self._begun = (done, journal.spent)
        with self._progress:
            self._task = self._progress.add_task(title, total=len(keys), completed=done, cost="")
            self.update(journal, budget)
            yield
            self.update(journal, budget)

    def update(self, journal: Journal, budget: Budget, status: str = "") -> None:
        """Refresh the display; `status` is shown after the cost."""
        if self._keys:
            done = self._done(journal)
            cost = self._cost(done, journal, budget) + (f"; {status}" if status else "")
            self._progress.update(self._task, completed=done, cost=cost)

    def _done(self, journal: Journal) -> int:
        return len(self._keys & journal.replies.keys())

    def _cost(self, done: int, journal: Journal, budget: Budget) -> str:
        text = f"{dollars(journal.spent)} so far"
        fresh = done - self._begun[0]
        if fresh:
            each = (journal.spent - self._begun[1]) / fresh
            text += f", {dollars(round(journal.spent + each * (len(self._keys) - done)))} expected"
        if budget.limit is not None:
            text += f", limit {dollars(budget.limit)}"
        return text
