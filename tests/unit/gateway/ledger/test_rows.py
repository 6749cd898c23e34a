"""Rows for the ledger's tables: what few attempts have is bound only where one has it."""

from __future__ import annotations

import msgspec.structs

from breakeven.gateway.accounting.prices import Cost
from breakeven.gateway.errors import Cause
from breakeven.gateway.ledger.rows import attempt_rows
from tests.unit.gateway.ledger.records import record


def test_cause_and_request_id_are_bound_only_where_there_is_one() -> None:
    plain = record(attempts=2)
    (row, *_) = attempt_rows([plain])
    assert not {"cause", "upstream_request_id"} & set(row)
    first, last = plain.attempts
    attempts = (
        msgspec.structs.replace(first, cause=Cause.OVERLOADED),
        msgspec.structs.replace(last, upstream_request_id="req_1"),
    )
    rows = attempt_rows([msgspec.structs.replace(plain, attempts=attempts), plain])
    assert [(row["cause"], row["upstream_request_id"]) for row in rows] == [
        ("overloaded", None), (None, "req_1"), (None, None), (None, None),
    ]  # fmt: skip
    assert type(rows[0]["cause"]) is str, "enum members are slow to bind"


def test_a_fee_is_stored_where_there_is_one() -> None:
    plain = record()
    assert "cost_tools" not in attempt_rows([plain])[0]
    paid = msgspec.structs.replace(plain.attempts[0], cost=Cost(0, 0, 0, tools=5))
    rows = attempt_rows([plain, msgspec.structs.replace(plain, attempts=(paid,))])
    assert [row["cost_tools"] for row in rows] == [0, 5]
