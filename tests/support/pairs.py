"""Compared pairs with a known ratio: a prompt costs three quarters of its value at the teacher, an answer half."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from breakeven.gateway.accounting.record import Endpoint, Outcome, Pair, RequestRecord
from breakeven.gateway.economics.baseline import PricedPair, Ratios
from breakeven.gateway.economics.statement import compare
from breakeven.gateway.ledger import Ledger
from breakeven.router.policy import Reason, Route

PAIRS = [PricedPair("", 40_000, 20_000, 30_000, 10_000, 4.0)] * 60
COMPARISONS = compare(PAIRS)
# All pairs are alike, so the interval has no width.
EXACT = Ratios(PAIRS)


def store(file: Path, pairs: Sequence[PricedPair], at: int) -> None:
    """Enter pairs in a SQLite ledger, as comparisons by shadow traffic that cost nothing, at `at`, microseconds since
    the epoch. A gateway may be running on the ledger.
    """
    ledger = Ledger.open(f"sqlite:///{file}", journal=file.parent / "pairs")
    for index, pair in enumerate(pairs):
        ledger.settle(_record(f"{index:032x}", pair, at))
    assert ledger.flush(20)
    ledger.close()


def _record(id: str, pair: PricedPair, at: int) -> RequestRecord:
    stored = Pair(
        id, at, None, None, "0" * 12, 1.0, 1.0, 200, 100, pair.weight, pair.student_input, pair.student_output,
        pair.teacher_input, pair.teacher_output, pair.key,
    )  # fmt: skip
    return RequestRecord(
        id=f"pair-{id[:20]}{id[-4:]}", request_id="pair", at=at, endpoint=Endpoint.CHAT_COMPLETIONS, key=None,
        stream=False, route=Route.TEACHER, reason=Reason.SHADOW, pinned=False, score=None, threshold=None, novelty=None,
        artifact=None, outcome=Outcome.OK, status=200, attempts=(), baseline=0, router_seconds=None,
        overhead_seconds=None, seconds=0.1, pair=stored,
    )  # fmt: skip
