"""What goes wrong on purpose while distilling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class DistillError(ValueError):
    """A step cannot be done; the message says what is wrong and how to mend it."""


class BadRow(NamedTuple):
    """A line of a file that cannot be used."""

    file: Path
    line: int
    reason: str


class BadRows(DistillError):
    """Bad rows in files; `rows` are all of them."""

    def __init__(self, rows: Sequence[BadRow], total: int) -> None:
        shown = [f"{row.file}: line {row.line}: {row.reason}" for row in rows[:5]]
        more = f"; and {len(rows) - 5} more" if len(rows) > 5 else ""
        super().__init__(f"{'; '.join(shown)}{more}. {len(rows)} of {total} rows are bad; mend them or give --skip-bad")
        self.rows = list(rows)
