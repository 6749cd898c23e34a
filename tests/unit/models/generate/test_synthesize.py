"""Parsing proposed prompts, and their coverage of the seeds."""

from __future__ import annotations

from breakeven.models.generate.synthesize import coverage, read_list


def test_proposals_are_parsed_from_json_and_from_numbered_lines() -> None:
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
