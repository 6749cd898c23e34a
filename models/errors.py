"""The errors of distillation that are reported to the user without a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class DistillError(ValueError):
    """A step cannot be done; the message says why and how to fix it."""


class TrainingStopped(Exception):
    """A signal ended the training after a checkpoint; running the same command again resumes it."""


class BadRow(NamedTuple):
    """A line or row (`unit`) of a file that cannot be used, and why."""

    file: Path
    line: int
    reason: str
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.file}: {self.unit} {self.line}: {self.reason}"


class BadRows(DistillError):
    """Files hold bad rows, all of which are in `rows`; the message shows the first five of the `total` rows read."""

    def __init__(self, rows: Sequence[BadRow], total: int) -> None:
        shown = [str(row) for row in rows[:5]]
        more = f"; and {len(rows) - 5} more" if len(rows) > 5 else ""
        super().__init__(
            f"{'; '.join(shown)}{more}. {len(rows)} of {total} rows are bad; fix them, "
            "or give --skip-bad, which names each and goes on with the others"
        )
        self.rows = list(rows)
