"""Rate limits and budgets of client keys, with a simulated clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from breakeven.gateway.accounting.prices import Cost
from breakeven.gateway.accounting.record import AttemptRecord, Endpoint, Outcome, RequestRecord
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.errors import RequestError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.limits.rate_limits import Quotas
from breakeven.router.policy import Reason, Route

END_OF_YEAR = 1_798_761_540.0  # 2026-12-31T23:59:00Z


class Clock:
    now = END_OF_YEAR

    def __call__(self) -> float:
        return self.now


def key(**limits: object) -> ClientKey:
    return TypeAdapter(ClientKey).validate_python({"name": "team", "sha256": "0" * 64, **limits})


def record(number: int, *, cost: int = 0, tokens: int = 0, at: float = END_OF_YEAR) -> RequestRecord:
    attempt = AttemptRecord(
        upstream=Route.TEACHER,
        outcome=Outcome.OK,
        status=200,
        usage=Usage(tokens, 0, 0, True),
        cost=Cost(cost, 0, 0),
        first_event_seconds=None,
        seconds=0.1,
    )
    return RequestRecord(
        id=f"{number:032x}",
        request_id="x",
        at=int(at * 1e6),
        endpoint=Endpoint.CHAT_COMPLETIONS,
        key="team",
        stream=False,
        route=Route.TEACHER,
        reason=Reason.DIFFICULT,
        pinned=False,
        score=None,
        threshold=None,
        novelty=None,
        artifact=None,
        outcome=Outcome.OK,
        status=200,
        attempts=(attempt,),
        baseline=0,
        router_seconds=None,
        overhead_seconds=None,
        seconds=0.1,
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger.open(f"sqlite:///{tmp_path}/ledger.db", journal=tmp_path / "journal")) as opened:
        yield opened


def test_a_key_without_limits_is_not_counted(ledger: Ledger) -> None:
    quotas = Quotas(ledger)
    assert quotas.admit(None) is False
    assert quotas.admit(key()) is False
    quotas.count(None)
    quotas.count(key())
    quotas.close()


def test_requests_over_the_limit_are_rejected_until_the_window_ends(ledger: Ledger) -> None:
    clock = Clock()
    quotas = Quotas(ledger, clock=clock, monotonic=clock)
    # What is refused after it was admitted takes no place.
    quotas.admit(key(requests_per_minute=2))
    for _ in range(2):
        quotas.admit(key(requests_per_minute=2))
        quotas.count(key(requests_per_minute=2))
    with pytest.raises(RequestError):
        quotas.count(key(requests_per_minute=2))
    with pytest.raises(RequestError) as caught:
        quotas.admit(key(requests_per_minute=2))
    assert (caught.value.status, caught.value.headers["retry-after"]) == (429, "60")
    clock.now += 60.5
    quotas.admit(key(requests_per_minute=2))
    quotas.close()


def test_tokens_are_counted_when_a_request_is_settled(ledger: Ledger) -> None:
    quotas = Quotas(ledger, clock=Clock())
    limited = key(tokens_per_minute=100)
    quotas.admit(limited)
    quotas.settle(limited, record(1, tokens=99))
    quotas.admit(limited)
    quotas.settle(limited, record(2, tokens=50))
    with pytest.raises(RequestError, match="100 tokens a minute"):
        quotas.admit(limited)
    quotas.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_budget_counts_the_ledgers_spend_and_this_process(ledger: Ledger, restarted: bool) -> None:
    clock = Clock()
    quotas = Quotas(ledger, clock=clock)
    limited = key(monthly_budget_usd=Decimal("0.000002"))
    last_month = record(1, cost=9_000_000, at=END_OF_YEAR - 40 * 86400)
    ledger.settle(last_month)
    asyncio.run(quotas.refresh())
    for number in (2, 3):
        quotas.admit(limited)
        ledger.settle(record(number, cost=1_000_000))
        quotas.settle(limited, record(number, cost=1_000_000))
        asyncio.run(quotas.refresh())
    assert quotas.spent("team") == 2_000_000
    if restarted:
        quotas.close()
        quotas = Quotas(ledger, clock=clock)
        asyncio.run(quotas.refresh())
    with pytest.raises(RequestError) as caught:
        quotas.admit(limited)
    assert (caught.value.code, caught.value.headers["retry-after"]) == ("insufficient_quota", "61")
    assert quotas.admit(key(monthly_budget_usd=Decimal("0.000002"), over_budget="student")) is True
    clock.now += 61  # the next month
    asyncio.run(quotas.refresh())
    assert quotas.admit(limited) is False
    quotas.close()
