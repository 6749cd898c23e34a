"""What the ledger says of judges, and what is set aside where one measures nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import insert

from breakeven.gateway.accounting.record import Verdicts
from breakeven.gateway.config.schema import Config
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.conversation_tables import VERDICTS, conversations
from breakeven.gateway.ledger.database import open_engine, transaction
from breakeven.gateway.reports.road import position
from breakeven.gateway.road.stages import State, write_state
from breakeven.gateway.runtime.road_obstacles import obstacle
from tests.contract.road_rows import enter

CONFIG: dict[str, Any] = {
    "student": {"base_url": "http://h/v1", "model": "small", "hosting_usd_per_hour": 1},
    "teacher": {"base_url": "http://h/v1", "model": "big", "usd_per_million": {"input": 1, "output": 1}},
    "ledger": {"store_prompts": True},
}


def judge(folder: Path, ledger: Ledger, letters: str, name: str = "big") -> int:
    """Enter comparisons with these verdicts on all but two of them; returns the time of the newest."""
    before = {one.request for one in ledger.road.comparisons("default", 0, "small")}
    enter(folder, 32)
    fresh = [one for one in ledger.road.comparisons("default", 0, "small") if one.request not in before]
    document = msgspec.json.encode(Verdicts({name: letters}, 10, 20)).decode()
    engine = open_engine(f"sqlite:///{folder / 'ledger.db'}")
    with transaction(engine, write=True) as connection:
        rows = [
            {"request": one.request, "kind": VERDICTS, "at": one.at, "workload": "default", "key": "",
             "document": document}
            for one in fresh[:30]
        ]  # fmt: skip
        connection.execute(insert(conversations), rows)
    engine.dispose()
    return fresh[-1].at


def test_a_judge_that_does_not_read_holds_the_stage_and_nothing_is_told_until_another_one_scores(
    ledger: Ledger, tmp_path: Path
) -> None:
    config, state = Config.model_validate(CONFIG), State("default", student="small")
    judge(tmp_path, ledger, "BA")
    assert obstacle(ledger, state, config) is None
    assert len(ledger.compared(0)) == 32
    last = judge(tmp_path, ledger, "AA", "lazy")
    found = obstacle(ledger, state, config)
    assert found is not None
    assert found.startswith("the verdicts of lazy depend on the order of the answers")
    assert ledger.compared(0) == [], "the pairs that no judge was asked about are a choice"
    where = position(ledger, config, state, time.time_ns() // 1000, operator=False)
    assert where.retention is None
    assert "  the student's quality: not measured: the verdicts of lazy measure nothing" in where.lines()
    assert [(one["judge"], one["measures"]) for one in where.to_dict()["judges"]] == [("big", True), ("lazy", False)]

    changed = State("default", student="small", scored_since=last + 1)
    assert ledger.road.put_state("default", 0, write_state(changed))
    time.sleep(0.001)
    judge(tmp_path, ledger, "BA")
    assert len(ledger.compared(0)) == 32
