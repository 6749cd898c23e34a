"""Prompts, spending, pace, the journal, and reading what an API answers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from models.distill.chat import Call, Reply, retry_after
from models.distill.dataset import state_of
from models.distill.errors import BadRows, DistillError
from models.distill.journal import Journal
from models.distill.pace import Pace
from models.distill.prompts import key_of, read
from models.distill.spend import Budget, Usage, prices, usd
from models.distill.synthesize import coverage, read_list

REPLY = Reply("Paris.", None, "stop", Usage(10, 4, 5, True), 0.25, "big", None)


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_the_cost_of_usage_is_exact() -> None:
    at = prices("2.50", "10", "1.25")
    assert usd(at.cost(Usage(120_000, 90_000, 1_000, True))) == "0.1975"
    assert at.cost(Usage(5, 9, 0, True)) == at.cost(Usage(5, 5, 0, True))
    assert prices("3", "0").cost(Usage(10, 10, 0, True)) == 30_000_000
    assert usd(0) == "0"
    assert usd(10**13) == "10"


@pytest.mark.parametrize(
    ("text", "said"), [("x", "number"), ("-1", "0 or more"), ("nan", "0 or more"), ("1e-7", "six")]
)
def test_a_bad_price_is_named(text: str, said: str) -> None:
    with pytest.raises(DistillError, match=f"--input-usd.*{said}"):
        prices(text, "1")


def test_a_budget_reserves_the_worst_case() -> None:
    budget = Budget(100, spent=20, possible=10)
    assert budget.reserve(40)
    assert not budget.reserve(31)
    assert budget.reserve(30)
    budget.settle(40, spent=5)
    budget.settle(30, possible=30)
    assert (budget.spent, budget.possible, budget.reserved, budget.taken) == (25, 40, 0, 65)
    assert Budget(None).reserve(10**30)


def test_pace_halves_once_for_all_calls_sent_together_and_grows_again() -> None:
    pace = Pace(64)
    for _ in range(12):
        pace.success()
    assert pace.limit == 16
    for _ in range(16):
        pace.trouble(now=10.0, sent_at=9.0, retry_after=3.0, jitter=0.0)
    assert (pace.limit, pace.not_before) == (8, 13.0)
    for _ in range(9):
        pace.success()
    assert pace.limit == 9, "one more for a round of successes, no slow start again"
    pace.trouble(now=20.0, sent_at=19.0, retry_after=None, jitter=0.0)
    assert pace.not_before == pytest.approx(20.25)
    for _ in range(20):
        pace.trouble(now=20.0, sent_at=1.0, retry_after=None, jitter=0.99)
    assert pace.not_before <= 80.0
    assert pace.limit == 4


def test_retry_after_in_seconds_milliseconds_and_as_a_date() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 0.0
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    assert 25 < (retry_after({"retry-after": later}) or 0) <= 31
    for nothing in ({}, {"retry-after": "soon"}, {"retry-after": "inf"}):
        assert retry_after(nothing) is None


def test_the_bound_on_prompt_tokens_holds_for_one_token_a_byte() -> None:
    call = Call("k", [{"role": "user", "content": "äß" * 100}], 5)
    assert call.prompt_bound() >= 400


def test_the_journal_keeps_replies_costs_and_what_a_kill_cut_off(tmp_path: Path) -> None:
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


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "journal.jsonl", "nonsense")
    with pytest.raises(DistillError, match="line 1 is damaged"):
        Journal(path)


def test_prompts_are_read_folded_and_split_by_their_text(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "prompt": "Where is my parcel?", "category": "status", "reference": "x"},
        {"prompt": "where  is my PARCEL?"},
        {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Where is my parcel?"}]},
    ]
    found = read([write(tmp_path / "p.jsonl", *rows)])
    assert [one.id for one in found.prompts] == ["7", "p-3"]
    assert (found.duplicates, found.rows, found.bad) == (1, 3, [])
    assert found.prompts[0].carried == {"category": "status", "reference": "x"}
    with_system = read([tmp_path / "p.jsonl"], system="S")
    assert len(with_system.prompts) == 1, "the system message is part of what is asked"
    many = read([write(tmp_path / "many.jsonl", *({"prompt": f"number {i}"} for i in range(2000)))])
    held_out = [one.id for one in many.prompts if one.split(0.1) == "eval"]
    assert 150 < len(held_out) < 250
    assert held_out == [one.id for one in many.prompts if one.split(0.1) == "eval"]
    assert {one.split(0.0) for one in many.prompts} == {"train"}


def test_bad_rows_are_named_counted_and_skipped_on_demand(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.jsonl",
        {"prompt": "good"},
        "{nonsense",
        {"prompt": "  "},
        {"text": "no prompt"},
        {"messages": [{"role": "user", "content": [1]}]},
        {"messages": [{"role": "assistant", "content": "a"}]},
        [1],
    )
    with pytest.raises(BadRows, match=r"p\.jsonl: line 2: not JSON.*line 3: prompt: .*6 of 7 rows are bad") as caught:
        read([path])
    assert [row.line for row in caught.value.rows] == [2, 3, 4, 5, 6, 7]
    assert len(read([path], skip_bad=True).prompts) == 1
    with pytest.raises(DistillError, match="cannot be read"):
        read([tmp_path / "absent.jsonl"])
    with pytest.raises(DistillError, match="no usable prompts"):
        read([write(tmp_path / "empty.jsonl")])


@pytest.mark.parametrize(
    ("text", "finish", "state"),
    [
        ("Your parcel is on its way.", "stop", "ok"),
        ("I'm sorry to hear that your parcel is late. It left on Monday.", "stop", "ok"),
        ("I’m sorry, but I can’t help with that.", "stop", "refused"),
        ("I cannot assist with this request.", "stop", "refused"),
        ("As an AI language model, I have no opinion.", "stop", "refused"),
        ("I can't wait to help! Here is how.", "stop", "ok"),
        ("anything", "content_filter", "refused"),
        ("Your parcel is", "length", "truncated"),
        (" \n", "stop", "empty"),
    ],
)
def test_answers_are_told_apart(text: str, finish: str, state: str) -> None:
    assert state_of(REPLY._replace(text=text, finish_reason=finish)) == state


def test_proposals_are_read_from_json_and_from_numbered_lines() -> None:
    assert read_list('Sure! ["a", "b", 3, ""] Enjoy.') == ["a", "b"]
    assert read_list('```json\n[\n"a [1]"\n]\n```') == ["a [1]"]
    assert read_list("1. first one\n2) second one\nend") == ["first one", "second one"]
    assert read_list("no list here") == []


def test_coverage_counts_seeds_and_new_prompts_by_cluster() -> None:
    seeds = [f"refund for order {i}" for i in range(30)] + [f"password reset for account {i}" for i in range(30)]
    rows = coverage(seeds, ["another refund order please", "reset another password account", "refund order now"])
    assert sum(row["seeds"] for row in rows) == 60
    refunds = [row["synthetic"] for row in rows if "refund" in row["terms"]]
    assert sum(refunds) == 2
    assert coverage(["one"], []) == []


def test_a_key_does_not_depend_on_case_and_space() -> None:
    one = key_of([{"role": "user", "content": "A  b"}])
    assert one == key_of([{"role": "user", "content": "a b "}])
    assert one != key_of([{"role": "system", "content": "A b"}])
