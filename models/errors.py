"""The errors of distillation that are reported to the user without a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class DistillError(ValueError):
    """A step cannot be done; the message says why and how to fix it."""


class BadRow(NamedTuple):
    """A line of a file that cannot be used, and why."""

    file: Path
    line: int
    reason: str


class BadRows(DistillError):
    """Files hold bad rows, all of which are in `rows`; the message shows the first five of the `total` rows read."""

    def __init__(self, rows: Sequence[BadRow], total: int) -> None:
        shown = [f"{row.file}: line {row.line}: {row.reason}" for row in rows[:5]]
        more = f"; and {len(rows) - 5} more" if len(rows) > 5 else ""
        super().__init__(f"{'; '.join(shown)}{more}. {len(rows)} of {total} rows are bad; fix them or give --skip-bad")
        self.rows = list(rows)
