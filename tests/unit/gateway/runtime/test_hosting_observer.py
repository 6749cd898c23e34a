"""The observer of the student's replicas, with a real ledger and metrics over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from breakeven.gateway.config.hosting import HostingObserved
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.runtime.hosting_observer import HostingObserver
from tests.support.replicas import MetricsServer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{path}", journal=path.parent / "journal")
    yield opened
    opened.close()


def sql(path: Path, statement: str) -> list[tuple[int, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).fetchall()


@contextlib.asynccontextmanager
async def observing(ledger: Ledger, folder: Path, url: str) -> AsyncIterator[None]:
    settings = HostingObserved(vllm_metrics=[url], interval_seconds=1)
    task = asyncio.create_task(HostingObserver(ledger, folder).run(lambda: settings))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_samples_wait_for_a_ledger_that_cannot_be_written(
    ledger: Ledger, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sql(path, "ALTER TABLE hosting_observed RENAME TO hidden")

    async def main(url: str) -> None:
        async with observing(ledger, path.parent, url):
            await asyncio.sleep(2.5)
            assert "observed replicas cannot be stored yet" in caplog.text
            sql(path, "ALTER TABLE hidden RENAME TO hosting_observed")
            await asyncio.sleep(1.2)

    with MetricsServer() as server:
        asyncio.run(main(server.url))
    query = "SELECT sum(observed), max(until) - min(since), sum(replicas) FROM hosting_observed"
    ((observed, span, replicas),) = sql(path, query)
    assert observed == span == replicas >= 2_500_000


def test_what_only_ever_refused_may_be_a_wrong_port(
    ledger: Ledger, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a typing error would make hosting free."""

    async def main() -> None:
        async with observing(ledger, path.parent, "http://127.0.0.1:9/metrics"):
            await asyncio.sleep(2.3)

    asyncio.run(main())
    assert sql(path, "SELECT count(*) FROM hosting_observed") == [(0,)]
    said = [one.getMessage() for one in caplog.records if "no replica has answered since the start" in one.getMessage()]
    assert len(said) == 1


def test_one_observer_of_a_machine_takes_over_from_another(ledger: Ledger, path: Path) -> None:
    async def main(one: MetricsServer, two: MetricsServer) -> None:
        async with contextlib.AsyncExitStack() as others:
            async with observing(ledger, path.parent, one.url):
                await asyncio.sleep(0.3)
                await others.enter_async_context(observing(ledger, path.parent, two.url))
                await asyncio.sleep(1.5)
                assert one.asked >= 1
                assert two.asked == 0
            await asyncio.sleep(1.5)
            assert two.asked >= 1

    with MetricsServer() as one, MetricsServer() as two:
        asyncio.run(main(one, two))


def test_time_before_a_failed_sample_is_not_observed(ledger: Ledger, path: Path) -> None:
    async def main(server: MetricsServer) -> None:
        async with observing(ledger, path.parent, server.url):
            await asyncio.sleep(1.5)
            server.status = 500
            await asyncio.sleep(1.0)
            server.status = 200
            await asyncio.sleep(2.0)

    with MetricsServer() as server:
        asyncio.run(main(server))
    ((observed, span),) = sql(path, "SELECT sum(observed), max(until) - min(since) FROM hosting_observed")
    assert observed == pytest.approx(2e6, abs=5e5)
    assert span - observed == pytest.approx(2e6, abs=5e5)
