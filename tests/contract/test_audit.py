"""Conversations kept by consent, a person's verdicts on them in a terminal, and what these do to the stages."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.compared import CALLS, CHAT, rows
from tests.contract.gateway import Gateway, chat, merged, running
from tests.contract.road_rows import enter
from tests.contract.scripted import answer, completion
from tests.contract.test_keys import as_key, key
from tests.contract.test_road import ADMIN, AUTO, CONFIG, SECONDS, breakeven, reached, state
from tests.support.processes import BREAKEVEN, ROOT

KEEPING: dict[str, Any] = {"road": {"sample": 1.0, "scorer": "exact"}, "ledger": {"store_conversations": True}}
PROMPT = "better (a, b, t, s, q): "
SELECT = "SELECT request, kind, at, workload, key, document"
CANARY = "kept-canary-7731"


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, KEEPING) as gateway:
        gateway.student.default(*answer(completion("the student's words \x1b[2J \u202e")))
        gateway.teacher.default(*answer(completion("the teacher's words")))
        yield gateway


def kept(gateway: Gateway) -> list[tuple[Any, ...]]:
    return gateway.rows(f"{SELECT} FROM conversations WHERE kind = 'comparison' ORDER BY at")


def compare(gateway: Gateway, count: int) -> None:
    for number in range(count):
        gateway.post(chat(f"question {number}"))
    eventually(lambda: len(kept(gateway)) == count)


class Terminal:
    """`breakeven road audit` with pipes for a person's terminal."""

    def __init__(self, gateway: Gateway, *arguments: str, command: tuple[str, ...] = ("road", "audit")) -> None:
        self._process = subprocess.Popen(
            [*BREAKEVEN, *command, "--config", str(gateway.path), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=gateway.environment,
        )  # fmt: skip
        self._rest = ""

    def shown(self) -> str:
        """What is printed until the next question, or the end."""
        assert self._process.stdout is not None
        found = ""
        while not found.endswith(PROMPT) and (one := self._process.stdout.read(1)):
            found += one
        return found

    def type(self, text: str) -> str:
        """Type a line; returns what is printed after it."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self.shown()

    def end(self) -> str:
        """Close the input, so that the person is gone; returns what is printed after it. It must succeed."""
        with contextlib.suppress(BrokenPipeError):
            if self._process.returncode is None:
                self._rest, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return self._rest


@contextlib.contextmanager
def audit(gateway: Gateway, *arguments: str) -> Iterator[Terminal]:
    """An audit in a terminal, which must end well."""
    terminal = Terminal(gateway, *arguments)
    try:
        yield terminal
    finally:
        terminal.end()


def student_is(shown: str) -> str:
    """The letter of the student's answer in what was shown last."""
    last = shown[shown.rindex("answer A:") :]
    return "a" if last.index("the student's") < last.index("the teacher's") else "b"


def other(letter: str) -> str:
    return "b" if letter == "a" else "a"


@pytest.mark.parametrize("consent", [False, True])
def test_conversations_are_stored_only_by_consent(tmp_path: Path, consent: bool) -> None:
    keys = {"auth": {"keys": [key("open"), key("closed", store=False)]}}
    config = merged(merged(KEEPING, keys), {"ledger": {"store_conversations": consent}})
    with running(tmp_path, config) as gateway:
        gateway.student.default(*CHAT.steps(f"{CANARY}-student", CALLS, streams=False))
        gateway.teacher.default(*CHAT.steps(f"{CANARY}-teacher", streams=False))
        gateway.post(chat(f"{CANARY}-closed"), as_key("closed"))
        gateway.post(chat(f"{CANARY}-question"), as_key("open"))
        compared = rows(gateway, 1)[0]
        gateway.metrics()
        gateway.stop()
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            found = connection.execute(f"{SELECT} FROM conversations WHERE kind = 'comparison'").fetchall()
        with_it = [path.name for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
        assert (tmp_path / "gateway.log").stat().st_size > 1000
    if not consent:
        assert (found, with_it) == ([], [])
        return
    assert set(with_it) <= {"ledger.db", "ledger.db-wal"}
    ((request, kind, at, workload, name, document),) = found
    assert (request, at) == (compared["request"], compared["at"])
    assert (kind, workload, name) == ("comparison", "default", "open")
    assert json.loads(document) == {
        "messages": [{"role": "user", "content": f"{CANARY}-question"}],
        "student": {"text": f"{CANARY}-student", "calls": list(CALLS)},
        "teacher": {"text": f"{CANARY}-teacher", "calls": []},
    }


def test_a_person_judges_pairs_in_random_order_and_is_told_how_far_to_trust_the_scorer(keeping: Gateway) -> None:
    compare(keeping, 4)
    with audit(keeping, "--count", "4") as terminal:
        shown = terminal.shown()
        assert "pair 1 of 4" in shown
        # What is shown cannot control the terminal or pass for a heading.
        assert "    the student's words \ufffd[2J \ufffd\n" in shown
        assert "user:\n    question " in shown
        shown = terminal.type(student_is(shown))
        assert "pair 2 of 4" in shown
        letter = other(student_is(shown))
        assert "a: A is better" in terminal.type("what?")
        terminal.type(letter)
        assert "pair 4 of 4" in terminal.type("s")
        said = terminal.type("t")
    assert "3 verdicts stored" in said
    assert "On 3 pairs the scorer exact agrees with people on 33% (6% to 79%); it is harder on the student by" in said
    assert "with fewer than 20 pairs that decides nothing" in said
    assert sorted(keeping.rows("SELECT verdict FROM audits")) == [("student",), ("teacher",), ("tie",)]
    assert "on 3 pairs the scorer exact agrees with people on 33%" in breakeven(keeping, "road").stdout


def test_labels_of_the_pairs_that_tell_most_correct_the_quality(keeping: Gateway) -> None:
    # The checker finds every answer wrong; people find half of them as good.
    compare(keeping, 24)
    terminal = Terminal(keeping, "--count", "22", command=("label",))
    try:
        shown = terminal.shown()
        assert "pair 1 of 22" in shown
        for number in range(22):
            shown = terminal.type("t" if number % 2 else other(student_is(shown)))
    finally:
        terminal.end()
    assert "22 verdicts stored" in shown
    assert "Corrected by 22 verdicts of people the student alone keeps" in shown
    documents = [float(one) for (one,) in keeping.rows("SELECT document FROM conversations WHERE kind = 'chosen'")]
    assert len(documents) == 22
    assert all(0.0 < one <= 1.0 for one in documents)
    keeping.stop()
    assert "corrected by 22 verdicts of people the student alone keeps" in breakeven(keeping, "status").stdout
    done = breakeven(keeping, "label", "--workload", "none")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_what_was_said_is_kept_when_the_person_goes_away(keeping: Gateway) -> None:
    compare(keeping, 2)
    with audit(keeping) as terminal:
        terminal.type(student_is(terminal.shown()))
        assert "1 verdict stored" in terminal.end()
    with audit(keeping) as terminal:
        shown = terminal.shown()
        assert "pair 1 of 1" in shown
        assert "On 2 pairs" in terminal.type(student_is(shown))
    done = breakeven(keeping, "road", "audit")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no stored pair is left that nobody has judged" in done.stderr


def test_both_orders_are_shown(keeping: Gateway) -> None:
    compare(keeping, 16)
    with audit(keeping) as terminal:
        shown = terminal.shown()
        seen = {student_is(shown)}
        for _ in range(15):
            shown = terminal.type("s")
            seen.add(student_is(shown))
        assert "0 verdicts stored" in terminal.type("q")
    assert seen == {"a", "b"}


def test_without_consent_it_says_what_to_set(tmp_path: Path) -> None:
    with running(tmp_path, {"road": {"sample": 1.0, "scorer": "exact"}}) as gateway:
        done = breakeven(gateway, "road", "audit")
    assert (done.returncode, done.stdout) == (2, "")
    assert "set ledger.store_conversations: true" in done.stderr


def test_purge_removes_conversations_and_keeps_verdicts(keeping: Gateway) -> None:
    compare(keeping, 2)
    with audit(keeping) as terminal:
        terminal.shown()
        terminal.type("t")
        terminal.type("q")
    assert "0 conversations" in breakeven(keeping, "purge", "--before", "2020-01-01").stdout
    # Of each request the student's answer with the conversation, and the teacher's, and the pair of both.
    assert "removed 0 prompts and 6 conversations" in breakeven(keeping, "purge").stdout
    assert kept(keeping) == []
    assert keeping.rows("SELECT count(*) FROM audits") == [(1,)]
    assert "on 1 pair the scorer exact" in breakeven(keeping, "road").stdout


def test_kept_conversations_are_removed_after_their_days(keeping: Gateway) -> None:
    compare(keeping, 2)
    keeping.stop()
    with contextlib.closing(sqlite3.connect(keeping.folder / "ledger.db")) as connection:
        old = time.time_ns() // 1000 - 31 * 86_400_000_000
        connection.execute("UPDATE conversations SET at = ? WHERE at = (SELECT min(at) FROM conversations)", (old,))
        connection.commit()
    keeping.start()
    eventually(lambda: len(kept(keeping)) == 1)


def judge_all(folder: Path, *, against: bool) -> None:
    """Have a person judge all comparisons, as the scorer did or against it."""
    by_student, by_teacher = ("teacher", "student") if against else ("tie", "teacher")
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as connection:
        connection.execute(
            "INSERT INTO audits SELECT request, at, CASE student_score WHEN 1.0 THEN ? ELSE ? END FROM outcomes",
            (by_student, by_teacher),
        )
        connection.commit()


def test_a_scorer_that_people_contradict_holds_the_stage_until_another_one_scores(tmp_path: Path) -> None:
    with running(tmp_path, AUTO, environment=ADMIN) as gateway:
        enter(tmp_path, 100)
        judge_all(tmp_path, against=True)
        enter(tmp_path, 220, seed=4)
        found = eventually(lambda: one if (one := state(gateway))["held"] else None, seconds=SECONDS)
        assert found["held"].startswith("people do not confirm road.scorer, as `breakeven road` shows: choose another")
        assert (found["stage"], found["comparisons"], found["proposal"]) == ("observe", 320, None)
        trust = found["trust"]
        assert (trust["scorer"], trust["pairs"], trust["confirmed"]) == ("the scorer exact", 100, False)
        assert (trust["agreement"]["value"], trust["agreement"]["low"]) == (0.0, 0.0)
        assert trust["agreement"]["high"] == pytest.approx(0.037, abs=1e-3)
        assert trust["bias"]["low"] < trust["bias"]["value"] < trust["bias"]["high"]
        assert (
            "on 100 pairs the scorer exact agrees with people on 0% (0% to 4%)" in breakeven(gateway, "status").stdout
        )

        gateway.write_config({"road": {"scorer": "contains"}})
        found = eventually(lambda: one if (one := state(gateway))["comparisons"] == 0 else None, seconds=SECONDS)
        assert found["why"].startswith("answers are scored by the scorer contains now, and were by the scorer exact")
        assert (found["held"], found["trust"]) == (None, None)
        enter(tmp_path, 320, seed=5)
        assert reached(gateway, "route")["in_force"]["comparisons"] == 320


def test_a_scorer_that_people_confirm_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG, environment=ADMIN) as gateway:
        enter(tmp_path, 100)
        judge_all(tmp_path, against=False)
        enter(tmp_path, 220, seed=4)
        found = reached(gateway, "propose")
        assert (found["held"], found["trust"]["pairs"], found["trust"]["confirmed"]) == (None, 100, True)
        assert found["trust"]["agreement"]["value"] == 1.0
