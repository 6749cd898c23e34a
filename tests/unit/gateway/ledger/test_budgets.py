"""Spend and reservations in the ledger's tables, and ledgers from before they had these."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import msgspec
from sqlalchemy import text

from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.budget_tables import COMPARISONS
from breakeven.gateway.ledger.budgets import Hold, month_start
from breakeven.gateway.ledger.database import migrate, open_engine, transaction, upgrade
from breakeven.gateway.ledger.store import store
from breakeven.router.policy import Reason
from tests.unit.gateway.limits.test_rate_limits import END_OF_YEAR, record

MONTH = month_start(END_OF_YEAR)


def test_a_stored_record_takes_its_hold_away_and_adds_its_cost_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    engine = open_engine(url)
    with closing(Ledger.open(url, journal=tmp_path / "journal")) as ledger:
        wanted = [Hold(f"{number:032x}", "team", 400, 1000, 2**62) for number in (1, 2)]
        assert ledger.budgets.reserve(wanted, {}, int(END_OF_YEAR * 1e6)) == [True, True]
        for _ in range(2):
            store(engine, [record(1, cost=300)])
        assert ledger.budgets.spent(MONTH) == {"team": 300}
        third = [Hold(f"{3:032x}", "team", 300, 1000, 2**62)]
        assert ledger.budgets.reserve(third, {}, int(END_OF_YEAR * 1e6)) == [True]
        assert ledger.budgets.reserve(third, {wanted[1].request: 700}, int(END_OF_YEAR * 1e6)) == [False]
    engine.dispose()


def test_months_and_comparisons_are_apart(tmp_path: Path) -> None:
    with closing(Ledger.open(f"sqlite:///{tmp_path}/ledger.db", journal=tmp_path / "journal")) as ledger:
        shadow = msgspec.structs.replace(record(3, cost=7), reason=Reason.SHADOW, key=None)
        keyless = msgspec.structs.replace(record(4, cost=9), key=None)
        for one in (record(1, cost=5), record(2, cost=11, at=END_OF_YEAR + 3600), shadow, keyless):
            ledger.settle(one)
        assert ledger.flush(10)
        assert ledger.budgets.spent(MONTH) == {"team": 5, COMPARISONS: 7}
        assert ledger.budgets.spent(month_start(END_OF_YEAR + 3600)) == {"team": 11}


_ZEROS = (
    "requests", "attempts", "usage_missing", "input_tokens", "cached_input_tokens", "output_tokens",
    "cost_cached_input", "baseline",
)  # fmt: skip
_HOURLY = text(
    "INSERT INTO hourly (hour, upstream, pinned, endpoint, route, reason, key, cost_input, cost_output, "
    f"cost_estimated, {', '.join(_ZEROS)}) VALUES (:hour, 'teacher', 0, 'x', :route, :reason, :key, :cost, 0, :cost, "
    f"{', '.join('0' for _ in _ZEROS)})"
)


def test_an_older_ledger_knows_this_months_spend(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    engine = open_engine(url)
    now = time.time()
    month = month_start(now)
    with transaction(engine, write=True) as connection:
        upgrade(connection, "0015")
        for hour, key, reason, cost in (
            (month // HOUR, "team", "easy", 100), (int(now * 1e6) // HOUR, "team", "difficult", 20),
            (month // HOUR - 1, "team", "easy", 1000), (month // HOUR, "", "shadow", 3), (month // HOUR, "", "easy", 7),
        ):  # fmt: skip
            connection.execute(_HOURLY, {"hour": hour, "key": key, "reason": reason, "cost": cost, "route": key or "x"})
    migrate(engine)
    with closing(Ledger.open(url, journal=tmp_path / "journal")) as ledger:
        assert ledger.budgets.spent(month) == {"team": 240, COMPARISONS: 6}
    engine.dispose()
