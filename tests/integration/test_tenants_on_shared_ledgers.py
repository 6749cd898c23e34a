"""Three gateways on one ledger, SQLite and PostgreSQL: budgets hold together, and stored state stays with its key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import ScriptedUpstream, answer
from tests.contract.test_budgets import COST, PATIENT, completion, slow
from tests.contract.test_keys import as_key, key
from tests.contract.test_tenants import REFERENCES, RESPONSES, made

BUDGET = 0.04
KEYS = [key("poor", monthly_budget_usd=str(BUDGET)), key("one"), key("two")]


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shared.db"
    pytest.importorskip("psycopg", reason="psycopg is absent; install the extra postgres")
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def gateways(tmp_path: Path, ledger_url: str) -> Iterator[list[Gateway]]:
    with contextlib.ExitStack() as stack:
        student = stack.enter_context(ScriptedUpstream("small"))
        teacher = stack.enter_context(ScriptedUpstream("big"))
        config = {
            "auth": {"keys": KEYS}, "teacher": PATIENT, "student": PATIENT,
            "ledger": {"url": ledger_url}, "server": {"drain_seconds": 0},
        }  # fmt: skip
        started = []
        for number in range(3):
            folder = tmp_path / str(number)
            folder.mkdir()
            one = Gateway(folder, student, teacher, config)
            stack.callback(one.stop)
            started.append(one.start())
        yield started


def test_three_gateways_overspend_by_a_tenth_at_most(gateways: list[Gateway]) -> None:
    teacher = gateways[0].teacher
    slow(teacher)
    body = chat(model="teacher", max_tokens=60)
    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(lambda n: gateways[n % 3].post(body, as_key("poor")).status, range(200)))
    served = found.count(200)
    assert set(found) == {200, 429}
    assert 0.5 * BUDGET <= served * COST <= 1.1 * BUDGET
    teacher.default(*completion())
    for gateway in gateways:
        while gateway.post(body, as_key("poor")).status == 200:
            served += 1
    assert served * COST <= 1.1 * BUDGET
    assert len(teacher.received) == served
    # What a killed gateway held, or has not stored yet, is not forgotten.
    gateways[0].process.kill()  # type: ignore[union-attr]
    gateways[0].wait()
    assert {gateway.post(body, as_key("poor")).status for gateway in gateways[1:]} == {429}
    gateways[0].start()
    assert {gateway.post(body, as_key("poor")).status for gateway in gateways} == {429}


def test_all_gateways_know_whose_stored_state_is(gateways: list[Gateway]) -> None:
    first, second, _ = gateways
    first.teacher.default(*answer(made("shared")))
    body = {"model": "teacher", "input": "hi", "conversation": "conv_shared"}
    assert first.post(body, as_key("one"), RESPONSES).status == 200
    count = len(first.teacher.received)
    for code, named in REFERENCES.items():
        refused = second.post({"model": "teacher", "input": "?", **named("shared")}, as_key("two"), RESPONSES)
        assert (refused.status, refused.error["code"]) == (404, code)
    assert len(first.teacher.received) == count
    for named in REFERENCES.values():
        again = {"model": "teacher", "input": "?", **named("shared")}
        assert eventually(lambda again=again: second.post(again, as_key("one"), RESPONSES).status == 200, 30)
