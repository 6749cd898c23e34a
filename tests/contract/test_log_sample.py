"""The log's lines of settled requests: a share of them, and all that somebody would look for."""

from __future__ import annotations

from pathlib import Path

from tests.contract.client import eventually
from tests.contract.gateway import chat, running
from tests.contract.scripted import error_answer

GOOD, LOGGED = 60, 0.5


def test_a_share_of_requests_is_logged_and_all_of_them_are_accounted(tmp_path: Path) -> None:
    with running(tmp_path, {"log": {"sample": LOGGED}}) as gateway:
        for _ in range(GOOD):
            assert gateway.post(chat()).status == 200
        eventually(lambda: gateway.rows("SELECT count(*) FROM requests") == [(GOOD,)], 30)
        ids = [id for (id,) in gateway.rows("SELECT id FROM requests")]
        drawn = {id for id in ids if int(id[-8:], 16) < LOGGED * 2**32}
        assert {record["id"] for record in gateway.settled()} == drawn
        # Less than once in a million runs by chance.
        assert 0 < len(drawn) < GOOD
        assert gateway.metric("requests_total") == GOOD


def test_what_failed_fell_back_or_was_slow_is_always_logged(tmp_path: Path) -> None:
    with running(tmp_path, {"log": {"sample": 0.0, "slow_seconds": 1000}}) as gateway:
        assert gateway.post(chat()).status == 200
        gateway.student.script(*error_answer(500))
        fallen = gateway.post(chat())
        refused = gateway.post(chat(model="nobody"))
        assert (fallen.status, refused.status) == (200, 404)
        eventually(lambda: len(gateway.settled()) == 2, 30)
        assert [record["reason"] for record in gateway.settled()] == ["fallback", None]
        gateway.write_config({"log": {"sample": 0.0, "slow_seconds": 0.000001}})
        eventually(lambda: gateway.post(chat()).status == 200 and len(gateway.settled()) > 2, 30)
        assert gateway.settled()[-1]["outcome"] == "ok"
