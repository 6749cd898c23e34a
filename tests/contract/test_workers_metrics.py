"""What several workers export together, while one of them starts or cannot read the ledger."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.test_lifecycle import workers

TOKENS = 'breakeven_tokens_total{kind="input",upstream="student"}'


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, {"server": {"workers": 2}}, environment={"TMPDIR": str(tmp_path)}) as gateway:
        eventually(lambda: len(workers(gateway)) == 2, 30)
        yield gateway


def shared(gateway: Gateway) -> Path:
    (folder,) = gateway.folder.glob("breakeven-workers-*")
    return folder


def test_a_file_that_a_worker_has_only_just_created_is_no_error(two: Gateway) -> None:
    (shared(two) / "counter_999999.db").touch()
    for _ in range(5):
        assert two.get("/metrics").status == 200


def test_a_worker_that_has_read_nothing_exports_what_the_others_have(two: Gateway) -> None:
    for _ in range(5):
        assert two.post(chat()).status == 200
    tokens = eventually(lambda: two.fresh_metrics().get(TOKENS), 30)
    assert tokens
    # Nobody gets to read from now on: as with a database that hangs.
    with (shared(two) / "ledger-figures.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for worker in workers(two):
            worker.send_signal(signal.SIGKILL)
            worker.wait(10)
            eventually(lambda: len(workers(two)) == 2, 30)
        eventually(lambda: two.get("/healthz").status == 200, 30)
        found = two.metrics()
        assert found[TOKENS] == tokens
        assert found["breakeven_ledger_age_seconds"] > 0
    assert two.post(chat()).status == 200
    assert eventually(lambda: two.fresh_metrics()[TOKENS] > tokens, 30)
