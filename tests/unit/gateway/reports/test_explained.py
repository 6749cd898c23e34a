"""A decision in words."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from breakeven.gateway.accounting.record import Pair
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.reports.explained import Explained, Standing, explain, standing, threshold_text
from breakeven.router.model.artifact import Artifact, load
from breakeven.router.policy import Reason
from tests.unit.gateway.ledger.records import record

REFUND = "How do I get a refund for order {}?"


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return load()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Standing(0.83, "own_traffic", None), "harder than 83% of your traffic"),
        (Standing(0.83, "reference_prompts", None), "harder than 83% of the reference prompts"),
        (Standing(0.999, "own_traffic", None), "harder than nearly all of your traffic"),
        (Standing(0.001, "own_traffic", None), "easier than nearly all of your traffic"),
        (Standing(None, None, 0.31), "the student's answer is worse with a probability of 31%"),
        (
            Standing(0.5, "own_traffic", 0.31),
            "harder than 50% of your traffic; the student's answer is worse with a probability of 31%",
        ),
    ],
)
def test_a_standing_in_words(found: Standing, said: str) -> None:
    assert str(found) == said


def test_a_threshold_is_said_in_traffic_first(artifact: Artifact) -> None:
    few, many = [(0.5, 0.0)] * 10, [(number / 300, 0.0) for number in range(300)]
    assert (
        threshold_text(artifact, 0.8, few, "start: share")
        == "harder than 80% of the reference prompts (0.8; start: share)"
    )
    assert threshold_text(artifact, 0.007, many, "stage watch") == "harder than 1% of your traffic (0.007; stage watch)"
    artifact.difficulty.ranks = False
    try:
        # Nor is it a probability of anything, and of no traffic nothing is said.
        assert (
            threshold_text(artifact, 0.007, many, "stage watch")
            == "harder than 1% of your traffic (0.007; stage watch)"
        )
        assert threshold_text(artifact, 0.007, few, "config") == "0.007 (config)"
    finally:
        artifact.difficulty.ranks = True


def test_a_rank_is_never_a_probability(artifact: Artifact) -> None:
    few, many = [(0.5, 0.0)] * 10, [(0.5, 0.0)] * 300
    assert standing(artifact, 0.8, few) == Standing(0.8, "reference_prompts", None)
    assert standing(artifact, 0.8, many) == Standing(1.0, "own_traffic", None)
    artifact.difficulty.ranks = False
    try:
        assert standing(artifact, 0.8, few) == Standing(None, None, 0.8)
        assert standing(artifact, 0.8, many) == Standing(1.0, "own_traffic", 0.8)
    finally:
        artifact.difficulty.ranks = True


def test_failures_on_prompts_like_it_are_counted_for_this_student_only(tmp_path: Path, artifact: Artifact) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", journal=tmp_path / "journal")
    prompts = [(f"{at:032x}", at, REFUND.format(at)) for at in range(1, 13)]
    prompts[0] = (prompts[0][0], 1, "Write a poem about the sea")
    ledger.store_prompts(prompts)
    for at in range(1, 13):
        version = "small@1" if at < 5 else "small@2"
        pair = Pair(
            f"{at:032x}", at, 0.5, None, artifact.hash, 0.0 if at % 2 else 1.0, 1.0, 5, 5, 1.0, student_version=version
        )
        ledger.settle(msgspec.structs.replace(record(at=at, reason=Reason.SHADOW), pair=pair))
    assert ledger.flush(20)
    found = explain(ledger, artifact, "default", REFUND.format(99), 0.3)
    assert (found.alike, found.failed) == (8, 4)
    assert str(found).endswith("like 8 of your prompts where the student failed 4 times")
    assert (explain(ledger, artifact, "search", REFUND.format(99), 0.3).alike) == 0
    assert str(Explained([], found.standing, 3, 1)).endswith("like 3 of your prompts where the student failed once")
    ledger.close()


def test_without_a_ledger_the_prompt_itself_is_explained(artifact: Artifact) -> None:
    said = str(explain(None, artifact, "default", "Prove that the square root of two is irrational.", 0.99))
    assert said.startswith("asks for a proof; ")
    assert said.endswith("; harder than 99% of the reference prompts")
