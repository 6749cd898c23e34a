"""The journal of paid calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from breakeven.gateway.accounting.usage import Usage
from breakeven.models.client.chat import Reply
from breakeven.models.client.journal import Journal
from breakeven.models.errors import DistillError

REPLY = Reply("Paris.", None, "stop", Usage(10, 4, 5, True), 0.25, "big", None)


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_replies_costs_and_interrupted_calls_survive_reopening(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.sent("a", 100)
        journal.replied("a", REPLY, cost=7, possible=0)
        journal.sent("b", 100)
        journal.failed("b", "rate", possible=0)
        journal.sent("b", 90)
        with pytest.raises(DistillError, match="another run"):
            Journal(path)
    with path.open("ab") as file:
        file.write(b'{"event":"reply","key":"b","cos')
    with Journal(path) as journal:
        assert journal.replies == {"a": REPLY}
        assert (journal.spent, journal.possible, journal.lost) == (7, 90, 1)
        journal.sent("b", 80)
        journal.replied("b", REPLY, cost=3, possible=0)
    with Journal(path) as journal:
        assert (journal.spent, journal.possible, journal.lost) == (10, 90, 1)
        assert set(journal.replies) == {"a", "b"}


def test_a_damaged_line_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = write(tmp_path / "journal.jsonl", "nonsense")
    with pytest.raises(DistillError, match="line 1 is damaged"):
        Journal(path)


def test_a_journal_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.replied("a", REPLY, cost=7, possible=0)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write(path, *({k: v for k, v in row.items() if k not in ("reasoning", "tool_calls")} for row in rows))
    with Journal(path) as journal:
        assert journal.replies == {"a": REPLY}
