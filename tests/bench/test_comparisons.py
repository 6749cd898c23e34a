"""The measurement runs and no call is missing; its times are not tested."""

from __future__ import annotations

from tests.bench.comparisons import measure, page


def test_every_teacher_call_is_in_the_ledger() -> None:
    found = measure(rate=30.0, share=0.5, seconds=2.0, rounds=1)
    assert found["failures"] == 0
    assert found["teacher_calls"] == found["ledger_calls"] > 10
    assert found["ledger_picodollars"] == found["expected_picodollars"]
    assert set(found["results"]) == {"compared"}  # type: ignore[call-overload]
    assert "| p50 |" in page(found, "it")
