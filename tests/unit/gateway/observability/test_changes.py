"""When what routes changed, as a metric."""

from __future__ import annotations

from pathlib import Path

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.road import UNKNOWN, Event
from breakeven.gateway.observability.money import MoneyCollector


def exported(collector: MoneyCollector) -> dict[tuple[str, str, str], float]:
    found = next(family for family in collector.collect() if family.name == "breakeven_change_timestamp_seconds")
    return {(one.labels["workload"], one.labels["stage"], one.labels["who"]): one.value for one in found.samples}


def test_the_last_change_of_each_kind_is_exported(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", journal=tmp_path / "journal")
    collector = MoneyCollector(ledger)
    assert exported(collector) == {}
    for event in (
        Event(1_000_000, "chat", "route", "in force"),
        Event(3_500_000, "chat", "route", "in force"),
        Event(2_000_000, "chat", "route", "in force", "console"),
        Event(4_000_000, "", "policy", "all workloads are routed by threshold 0.4", "api"),
        Event(5_000_000, "misspelt", UNKNOWN, "not in the config"),
    ):
        ledger.changes.put(event)
    assert exported(collector) == {
        ("chat", "route", "gateway"): 3.5,
        ("chat", "route", "console"): 2.0,
        ("(all)", "policy", "api"): 4.0,
    }
    ledger.close()
