"""The run works and loses no call; its times are never a test."""

from __future__ import annotations

from tests.bench.shadow import measure, page


def test_a_short_run_counts_every_call_of_the_teacher() -> None:
    found = measure(rate=30.0, share=0.5, seconds=2.0, rounds=1)
    assert found["failures"] == 0
    assert found["teacher_calls"] == found["ledger_calls"] > 10
    assert found["ledger_picodollars"] == found["expected_picodollars"]
    assert set(found["results"]) == {"compared"}  # type: ignore[call-overload]
    assert "| p50 |" in page(found, "it")
