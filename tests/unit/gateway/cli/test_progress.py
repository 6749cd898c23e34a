"""Commands that take their time show at a terminal how far they are, and end with what they found."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.gateway.reports.test_tuning import rows, write

# A bar of a number of steps, or one that only goes on, and the time that has passed.
BAR = r"[━╸╺ ]+ \d:\d\d:\d\d"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("progress")
    write(folder / "rows.jsonl", rows(400, 1))
    write(folder / "others.jsonl", rows(400, 2))
    assert at_terminal(folder, "train", "rows.jsonl", "--out", "art")[0] == 0
    return folder


def at_terminal(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """The exit code of a command, and what it says on standard output, and on a terminal."""
    ours, its = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        # The other end of a terminal that is gone is an error.
        try:
            while part := os.read(ours, 4096):
                seen.append(part)
        except OSError:
            return

    reading = threading.Thread(target=read)
    reading.start()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "breakeven.gateway.cli", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=its, text=True, timeout=120
    )
    os.close(its)
    reading.join(30)
    os.close(ours)
    return done.returncode, done.stdout, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(seen).decode())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "rows.jsonl", "--out", "again"), "training on 400 rows"),
        (("evaluate", "others.jsonl", "--artifact", "art"), "scoring 400 rows, and resampling them for intervals"),
        (("tune", "others.jsonl", "--artifact", "art", "--teacher-share", "0.3"), "scoring the traffic"),
    ],
)
def test_at_a_terminal_there_is_a_bar_and_elsewhere_nothing(
    folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, _, shown = at_terminal(folder, *arguments)
    assert code == 0
    assert re.search(re.escape(said) + " " + BAR, shown), shown
    command = [sys.executable, "-m", "breakeven.gateway.cli", *arguments]
    quiet = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_training_ends_with_what_it_found(folder: Path) -> None:
    lines = at_terminal(folder, "train", "rows.jsonl", "--out", "third")[1].splitlines()
    read = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    worse = sum(row["student_score"] < row["teacher_score"] for row in read) / len(read)
    assert lines[1] == f"on {worse:.1%} of the rows the student is worse than the teacher"
    # Hard prompts, on most of which the student fails, have words of their own.
    found = re.search(r"in (\d+)% of cases; 50% is chance", lines[2])
    assert found
    assert 75 <= int(found[1]) <= 100
    assert lines[3].endswith("breakeven evaluate HELD-OUT.jsonl --artifact third")
