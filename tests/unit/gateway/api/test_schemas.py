"""The response models take what the ledger and the report give, and refuse what they do not document."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from breakeven.gateway.api.admin_schemas import RecordedDecision
from breakeven.gateway.api.schema import Usd
from breakeven.gateway.api.status import Health
from breakeven.gateway.reports.report import exact

ROW: dict[str, Any] = {
    "id": "1", "request_id": "r", "at": 1, "endpoint": "chat_completions", "key": "", "stream": False,
    "workload": "default",
    "route": "teacher", "reason": "difficult", "pinned": False, "score": 0.7, "difficulty": None,
    "threshold": 0.5, "novelty": None,
    "artifact": "0" * 12, "outcome": "ok", "status": 200, "seconds": 0.5, "attempts": 1, "prompt_tokens": 20,
    "output_tokens": 3, "cost_usd": "0.000480000000", "baseline_usd": "0",
}  # fmt: skip


def test_sums_of_postgresql_are_whole_numbers() -> None:
    """It adds up bigint columns to a numeric one."""
    read = RecordedDecision.model_validate(ROW | {"prompt_tokens": Decimal(20)})
    assert read.model_dump() == ROW
    assert type(read.prompt_tokens) is int


def test_a_row_of_a_newer_gateway_can_be_read() -> None:
    row = ROW | {"endpoint": "messages", "reason": "sampled", "outcome": "moved"}
    assert RecordedDecision.model_validate(row).model_dump() == row


@pytest.mark.parametrize("picodollars", [0, 1, -1, 10**12, -(10**24) - 1])
def test_exact_money_is_documented_money(picodollars: int) -> None:
    assert TypeAdapter(Usd).validate_python(exact(picodollars)) == exact(picodollars)


def test_a_key_that_is_not_documented_is_refused() -> None:
    with pytest.raises(ValidationError, match="more"):
        Health.model_validate({"status": "ok", "more": 1})
