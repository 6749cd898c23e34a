"""The newest scores of a workload."""

from __future__ import annotations

import msgspec
from sqlalchemy import text

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.database import open_engine
from tests.unit.gateway.ledger.records import record

ARTIFACT = "0123456789ab"


def test_scores_of_one_workload_by_one_artifact_newest_first_without_pinned_requests(ledger: Ledger) -> None:
    for at in range(1, 6):
        ledger.settle(msgspec.structs.replace(record(at=at), score=at / 10))
    other = msgspec.structs.replace(record(at=7), artifact="f" * 12)
    unscored = msgspec.structs.replace(record(at=8), score=None)
    for one in (record(at=6, workload="search"), other, unscored, record(at=9, pinned=True)):
        ledger.settle(one)
    assert ledger.flush(20)
    assert ledger.road.newest_scores("default", ARTIFACT, 3) == [(0.5, 0.0), (0.4, 0.0), (0.3, 0.0)]
    assert len(ledger.road.newest_scores("default", ARTIFACT, 100)) == 5
    assert ledger.road.newest_scores("search", ARTIFACT, 100) == [(0.25, 0.0)]
    assert ledger.road.newest_scores("unknown", ARTIFACT, 100) == []


def test_an_index_finds_them(ledger: Ledger, url: str) -> None:
    """Without it every refresh would read all requests."""
    query = (
        "EXPLAIN QUERY PLAN SELECT score FROM requests WHERE workload = 'a' AND artifact = 'b' AND score IS NOT NULL "
        "AND pinned IS 0 ORDER BY at DESC, id LIMIT 10"
    )
    with open_engine(url).connect() as connection:
        plan = str(connection.execute(text(query)).all())
    assert "requests_scored" in plan
