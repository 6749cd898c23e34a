"""A ledger on a real PostgreSQL: migrations, exact sums, and three gateways, one of which is killed."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.database import HEAD, migrate, open_engine, transaction, upgrade
from breakeven.gateway.ledger.hosting import Span
from breakeven.gateway.ledger.pruning import prune
from tests.support import processes
from tests.support.postgres import PostgresServer

pytest.importorskip("psycopg", reason="psycopg is absent; install the extra postgres")

KEY = "the-admin-key"
QUESTIONS = [f"What is {n} plus {n}?" for n in range(12)]


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.mark.parametrize("upgraded", [False, True])
def test_a_new_and_an_upgraded_ledger_match_the_schema(url: str, upgraded: bool) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from breakeven.gateway.ledger.schema import metadata

    engine = open_engine(url)
    if upgraded:
        with transaction(engine, write=True) as connection:
            upgrade(connection)
    with ThreadPoolExecutor(3) as pool:  # replicas that start at the same time
        list(pool.map(migrate, [engine] * 3))
    with transaction(engine, write=False) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
    engine.dispose()


@pytest.fixture
def upstreams(tmp_path: Path) -> Iterator[tuple[str, str]]:
    rows = [
        {"prompt": q, "answer": "It is some number.", "prompt_tokens": 400, "cached_tokens": 128, "output_tokens": 5}
        for q in QUESTIONS
    ]
    with (
        processes.replay(tmp_path, "student", rows) as student,
        processes.replay(tmp_path, "teacher-model", rows) as teacher,
    ):
        yield student, teacher


def _gateway(folder: Path, url: str, upstreams: tuple[str, str]) -> processes.Gateway:
    folder.mkdir()
    config = processes.make_config(*upstreams, ledger={"url": url, "journal": "journal"})
    return processes.Gateway(folder, config, {"BREAKEVEN_ADMIN_KEY": KEY})


class Load:
    """Clients that send requests to one gateway until stopped; keeps the ids of complete responses."""

    def __init__(self, gateway: processes.Gateway, name: str) -> None:
        self.gateway = gateway
        self.answered: list[str] = []
        self.name = name
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(index,)) for index in range(4)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, worker: int) -> None:
        with httpx2.Client(timeout=20.0) as client:
            for number in range(100_000):
                if self._stop.is_set():
                    return
                id = f"{self.name}-{worker}-{number}"
                body = {"model": "auto", "messages": [{"role": "user", "content": QUESTIONS[number % 12]}]}
                with contextlib.suppress(httpx2.HTTPError):
                    url = f"{self.gateway.base_url}/chat/completions"
                    answer = client.post(url, json=body, headers={"x-request-id": id})
                    if answer.status_code == 200:
                        self.answered.append(id)
                    continue
                return  # the gateway was killed


def test_three_gateways_one_killed_under_load(url: str, upstreams: tuple[str, str], tmp_path: Path) -> None:
    gateways = [_gateway(tmp_path / f"gateway-{index}", url, upstreams) for index in range(3)]
    with contextlib.ExitStack() as stack:
        for gateway in gateways:
            gateway.start()
            stack.callback(gateway.stop, signal.SIGKILL)
        loads = [Load(gateway, f"g{index}") for index, gateway in enumerate(gateways)]
        for load in loads:
            load.start()
        threading.Event().wait(3.0)
        gateways[0].stop(signal.SIGKILL)
        threading.Event().wait(1.5)
        for load in loads:
            load.stop()
        gateways[0].start()  # with the same journal: it recovers the records of the killed process
        totals = [gateway.metrics() for gateway in gateways]
        reported = gateways[1].report()
        for gateway in gateways:
            assert gateway.stop() == 0
    answered = [id for load in loads for id in load.answered]
    assert all(len(load.answered) > 20 for load in loads)
    engine = open_engine(url)
    with transaction(engine, write=False) as connection:
        stored = Counter(connection.scalars(text("SELECT request_id FROM requests")))
        raw = connection.execute(
            text(
                "SELECT count(*), sum(prompt_tokens), sum(cached_tokens), sum(output_tokens),"
                " sum(cost_input + cost_cached_input + cost_output) FROM attempts"
            )
        ).one()
    engine.dispose()
    assert not set(answered) - set(stored)
    assert set(stored.values()) == {1}
    # Settled by the killed gateway before the client had the complete response: at most one for each connection.
    assert len(stored) - len(answered) <= 4
    count = len(stored)
    assert [int(value) for value in raw[:4]] == [count, 400 * count, 128 * count, 5 * count]
    ledger = Ledger.open(url, journal=tmp_path / "reader")
    (total,) = ledger.sums()
    assert ledger.sums((), 1, 10**16 + 1) == [total]  # hourly sums and raw rows agree
    ledger.close()
    assert (total.requests, total.attempts, total.cost) == (count, count, int(raw[4]))
    assert reported["requests"] == count
    # Every replica exports the same totals, those of the whole ledger.
    for name in ("breakeven_baseline_usd_total", 'breakeven_tokens_total{kind="output",upstream="student"}'):
        assert totals[0][name] == totals[1][name] == totals[2][name] > 0
    assert totals[0]["breakeven_ledger_price_sets"] == 1


def test_retention_and_periods(url: str, upstreams: tuple[str, str], tmp_path: Path) -> None:
    gateway = _gateway(tmp_path / "gateway", url, upstreams)
    gateway.start()
    try:
        for question in QUESTIONS:
            body = {"model": "teacher", "messages": [{"role": "user", "content": question}]}
            assert httpx2.post(f"{gateway.base_url}/chat/completions", json=body, timeout=20.0).status_code == 200
        before = gateway.metrics()
    finally:
        gateway.stop()
    ledger = Ledger.open(url, journal=tmp_path / "reader")
    by = ("hour", "upstream", "pinned", "endpoint", "route", "reason", "key")
    hourly = ledger.sums(by)
    assert hourly == ledger.sums(by, 1, 10**16 + 1)
    assert hourly[0].group[1:] == ("teacher", True, "chat_completions", "teacher", "pinned", "")
    engine = open_engine(url)
    assert prune(engine, 24, 10**16 // HOUR * HOUR) == (12, True)
    engine.dispose()
    assert ledger.sums(by) == hourly
    assert before['breakeven_tokens_total{kind="output",upstream="teacher"}'] == 60
    ledger.close()


def test_a_policy_set_on_one_gateway_is_used_by_another(url: str, upstreams: tuple[str, str], tmp_path: Path) -> None:
    gateways = [_gateway(tmp_path / f"gateway-{index}", url, upstreams) for index in range(2)]
    headers = {"authorization": f"Bearer {KEY}"}
    with contextlib.ExitStack() as stack:
        for gateway in gateways:
            gateway.start()
            stack.callback(gateway.stop)

        def route(gateway: processes.Gateway) -> str:
            body = {"model": "auto", "messages": [{"role": "user", "content": QUESTIONS[0]}]}
            answer = httpx2.post(f"{gateway.base_url}/chat/completions", json=body, timeout=20.0)
            return str(answer.headers["x-breakeven-route"])

        def until(gateway: processes.Gateway, wanted: str) -> None:
            deadline = time.monotonic() + 15
            while route(gateway) != wanted:
                assert time.monotonic() < deadline
                time.sleep(0.3)

        httpx2.put(f"{gateways[0].url}/admin/policy", json={"threshold": 0.0}, headers=headers, timeout=10.0)
        assert route(gateways[0]) == "teacher"
        until(gateways[1], "teacher")
        httpx2.put(
            f"{gateways[1].url}/admin/policy", json={"threshold": 1.0, "novelty_threshold": 1.0}, headers=headers,
            timeout=10.0,
        )  # fmt: skip
        until(gateways[0], "student")


def test_a_database_outage_loses_no_records(
    url: str, postgres_server: PostgresServer, upstreams: tuple[str, str], tmp_path: Path
) -> None:
    gateway = _gateway(tmp_path / "gateway", url, upstreams)
    gateway.start()

    def ask(count: int) -> None:
        for number in range(count):
            body = {"model": "auto", "messages": [{"role": "user", "content": QUESTIONS[number]}]}
            assert httpx2.post(f"{gateway.base_url}/chat/completions", json=body, timeout=20.0).status_code == 200

    try:
        ask(3)
        postgres_server.control("stop")
        ask(5)  # requests succeed during the outage
        assert gateway.metrics()["breakeven_ledger_pending"] > 0
        postgres_server.control("start")
        deadline = time.monotonic() + 30
        while gateway.metrics()["breakeven_ledger_pending"] > 0:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert gateway.report()["requests"] == 8
    finally:
        gateway.stop()


def test_concurrent_observers_of_replicas_count_no_time_twice(url: str, tmp_path: Path) -> None:
    second, begin = 1_000_000, 7 * HOUR - 20 * 1_000_000
    ledgers = [Ledger.open(url, journal=tmp_path / f"journal-{index}") for index in range(3)]

    def watch(ledger: Ledger) -> None:
        for step in range(40):  # over the end of an hour
            start = begin + step * second
            ledger.observe_hosting([Span(start, start + second, 2, 1, None)], start + 3 * second)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(watch, ledgers))
    engine = open_engine(url)
    with transaction(engine, write=False) as connection:
        sums = "sum(observed), sum(replicas), sum(busy), sum(active_measured), count(*)"
        found = connection.execute(text(f"SELECT {sums} FROM hosting_observed")).one()
    engine.dispose()
    for ledger in ledgers:
        ledger.close()
    assert tuple(found) == (40 * second, 80 * second, 40 * second, 0, 2)
