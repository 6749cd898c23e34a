"""The soak for some seconds: the long run is in docs/soak.md."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.bench.soak import soak
from tests.bench.soak_report import page


def test_a_short_soak_leaks_nothing_and_counts_exactly(tmp_path: Path) -> None:
    outcome = asyncio.run(soak(0.1, 80.0, tmp_path))
    # Memory still grows in the first seconds of a process; the long run looks at it.
    failed = [(what, found) for what, found, holds in outcome.checks if not (holds or what.startswith("memory"))]
    assert not failed
    assert outcome.sent > 300
    assert {"ok", "aborted", "truncated"} <= set(outcome.ended)
    assert "| what must hold |" in page(outcome, "x")
