"""The dataset that a harvest writes, and its card."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from breakeven.models.data import prompts, rows
from breakeven.models.errors import DistillError
from breakeven.models.harvest.card import summary
from breakeven.models.harvest.harvest import Settings, harvest
from breakeven.models.harvest.kept import Kept
from tests.unit.models.harvest.conversations import compared, kept

WORDS = [f"{start}{end}" for start in ("ba", "ce", "do", "fi", "gu") for end in ("den", "lor", "mis", "rut", "tan")]


def asked(number: int) -> str:
    return " ".join(random.Random(number).choices(WORDS, k=30))


def traffic(count: int = 60) -> list[Kept]:
    """Every third is difficult, and every third was lost."""
    made = []
    for number in range(count):
        id = f"r{number}"
        if number % 3 == 0:
            made.append(kept(id, asked(number), reason="difficult", at=number))
        elif number % 3 == 1:
            made.append(compared(id, asked(number), 0.25, at=number, reason="easy"))
        else:
            made.append(kept(id, asked(number), at=number))
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_dataset_is_what_training_reads_and_the_card_says_where_it_is_from(tmp_path: Path) -> None:
    bad = kept("bad", "?", by_teacher=False, feedback=0.0, on_teacher=False)
    cut = kept("cut", "another", finish="length")
    facts = harvest(Settings(tmp_path, eval_share=0.25, consent=True), [*traffic(), bad, cut])
    train, held_out = lines(tmp_path / "train.jsonl"), lines(tmp_path / "eval.jsonl")
    assert (len(train), len(held_out)) == (facts["splits"]["train"], facts["splits"]["eval"])
    assert len(train) + len(held_out) == 60
    assert held_out
    assert len(rows.read([tmp_path / "train.jsonl", tmp_path / "eval.jsonl"])) == 60
    assert [one.id for one in prompts.read([tmp_path / "unanswered.jsonl"]).prompts] == ["bad"]
    assert [row["reason"] for row in lines(tmp_path / "rejected.jsonl")] == ["truncated"]
    assert {row["reason"] for row in train} == {"difficult", "lost", "observe"}
    assert all(row["weight"] > 0 for row in train)
    assert not any("weight" in row for row in held_out)
    assert sum(facts["reasons"]["train"].values()) == len(train)
    assert facts["left_out"] == {"truncated": 1}
    assert facts["teachers"] == {"big@1": 60}
    assert facts["cost"] == {"usd": "0", "paid_by_traffic_usd": "0.00006", "rows_without_cost": 0}
    assert sum(one["compared"] for one in facts["kinds"]) == 20
    assert sum(Decimal(one["paid_by_traffic_usd"]) for one in facts["kinds"]) == Decimal("0.00006")
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\n")
    assert "| training rows | " in card
    assert "in traffic these answers have cost 0.00006 USD" in card
    said = list(summary(facts, tmp_path))
    assert said[0].endswith("held-out rows of 62 conversations stored from 1970-01-01 to 1970-01-01")
    assert "1 prompts have no answer of the teacher" in said[-1]


def test_a_training_row_that_repeats_a_held_out_one_is_left_out(tmp_path: Path) -> None:
    """The same text is on the same side; a nearly equal one may be on the other."""
    made = [
        kept(f"r{number}", asked(number) + end) for number in range(40) for end in ("", " Thanks!", " Please help.")
    ]
    made = [one._replace(request=f"{place}") for place, one in enumerate(made)]
    facts = harvest(Settings(tmp_path, eval_share=0.4, consent=True), made)
    train, held_out = lines(tmp_path / "train.jsonl"), lines(tmp_path / "eval.jsonl")
    assert len(train) + len(held_out) == 40
    assert facts["left_out"]["like a held-out row"] + facts["left_out"]["near-duplicate"] == 80
    assert facts["left_out"]["like a held-out row"] > 0
    shown = {row["messages"][0]["content"][:60] for row in held_out}
    assert not shown & {row["messages"][0]["content"][:60] for row in train}


def test_of_two_alike_the_one_that_says_more_is_kept(tmp_path: Path) -> None:
    made = [
        kept("plain", asked(1), at=9),
        compared("lost", asked(1), 0.0, at=1),
        kept("hard", asked(1), reason="novel"),
    ]
    harvest(Settings(tmp_path, eval_share=0.0, consent=True), made)
    assert [row["id"] for row in lines(tmp_path / "train.jsonl")] == ["lost"]


def test_a_limit_leaves_the_weights_to_the_draw(tmp_path: Path) -> None:
    facts = harvest(Settings(tmp_path, rows=20, eval_share=0.0, consent=True), traffic())
    train = lines(tmp_path / "train.jsonl")
    assert (len(train), {row["weight"] for row in train}) == (20, {1.0})
    assert facts["reasons"]["train"].get("observe") == 4
    assert (facts["left_out"]["more than --rows"], facts["mixed_by"]) == (40, "the draw of --rows")


def test_another_harvest_replaces_the_one_before(tmp_path: Path) -> None:
    harvest(Settings(tmp_path, consent=True), traffic())
    first = (tmp_path / "train.jsonl").read_bytes(), (tmp_path / "eval.jsonl").read_bytes()
    harvest(Settings(tmp_path), traffic())
    assert ((tmp_path / "train.jsonl").read_bytes(), (tmp_path / "eval.jsonl").read_bytes()) == first
    harvest(Settings(tmp_path), traffic(6))
    assert len(lines(tmp_path / "train.jsonl")) + len(lines(tmp_path / "eval.jsonl")) == 6


def test_workloads_are_categories_where_there_are_several(tmp_path: Path) -> None:
    harvest(Settings(tmp_path / "a", consent=True, eval_share=0.0), [kept("a", "x", workload="desk")])
    assert "category" not in lines(tmp_path / "a/train.jsonl")[0]
    both = [kept("a", "x", workload="desk"), kept("b", "y", workload="code")]
    harvest(Settings(tmp_path / "b", consent=True, eval_share=0.0), both)
    assert {row["category"] for row in lines(tmp_path / "b/train.jsonl")} == {"desk", "code"}


@pytest.mark.parametrize(
    ("settings", "made", "said"),
    [
        ({}, [], "no conversation is stored: set ledger.store_conversations: true"),
        ({"reasons": ("dull",)}, traffic(3), "--reason dull: must be one of lost, feedback"),
        ({"reasons": ("novel",)}, traffic(3), "there are 1 difficult, 1 lost, 1 other"),
        ({"consent": False}, traffic(3), r"these are answers of big@1 \(3\); many providers forbid"),
        ({}, [kept("a", "x", by_teacher=False)], "none of 1 stored conversations has an answer of the teacher"),
        ({}, [kept("a", "x", finish="length")], "most of the teacher's answers are left out: truncated"),
    ],
)
def test_what_cannot_be_harvested_is_said(
    tmp_path: Path, settings: dict[str, Any], made: list[Kept], said: str
) -> None:
    with pytest.raises(DistillError, match=said):
        harvest(Settings(**{"out": tmp_path / "d", "consent": True} | settings), made)
    assert not list(tmp_path.glob("d/*"))


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DistillError, match="cannot be made a directory"):
        harvest(Settings(tmp_path / "file", consent=True), traffic(3))


def test_a_dataset_of_generate_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text("")
    with pytest.raises(DistillError, match="holds a dataset of `breakeven distill generate`"):
        harvest(Settings(tmp_path, consent=True), traffic(3))


@pytest.mark.parametrize(
    "made",
    [
        kept("bad", "half of \ud83d"),
        kept("bad", "a question", said="half of \ud83d"),
        kept("bad", "a question", tools=[{"type": "function", "function": {"name": "\ud83d"}}]),
    ],
)
def test_what_utf_8_cannot_hold_is_left_out_with_the_place(tmp_path: Path, made: Kept) -> None:
    facts = harvest(Settings(tmp_path / "d", consent=True, eval_share=0.0), [made, kept("good", "another question")])
    assert [row["id"] for row in lines(tmp_path / "d/train.jsonl")] == ["good"]
    (rejected,) = lines(tmp_path / "d/rejected.jsonl")
    assert rejected["id"] == "bad"
    assert "holds half of a character (a lone surrogate" in rejected["reason"]
    assert list(facts["left_out"].values()) == [1]
