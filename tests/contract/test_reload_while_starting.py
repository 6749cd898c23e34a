"""Reloads that are asked for while a process starts, and workers that start while the config file is no good."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import ScriptedUpstream

_SECONDS = 90.0


@pytest.mark.parametrize("count", [1, 2])
def test_a_reload_during_the_start_is_done_and_ends_nothing(tmp_path: Path, count: int) -> None:
    serve = ("-m", "breakeven.gateway.cli", "serve")
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        gateway = Gateway(tmp_path, student, teacher, {"server": {"workers": count}}, command=serve)
        gateway.write_config()
        gateway.log.touch()
        gateway.process = gateway._run()
        try:
            # From here on it makes the app, or starts workers, which takes a second and more.
            eventually(lambda: b"listens on" in gateway.log.read_bytes(), _SECONDS)
            gateway.write_config({"routing": {"threshold": 0.0}})
            for _ in range(40):
                gateway.signal(signal.SIGHUP)
                time.sleep(0.05)
            said = gateway.log.read_text()
            gateway.port = int(said.split("listens on http://127.0.0.1:")[1].split()[0])
            eventually(lambda: _routes(gateway) == {"teacher"}, _SECONDS)
            assert gateway.process.poll() is None
            assert "exited" not in gateway.log.read_text()
        finally:
            gateway.stop()


def _routes(gateway: Gateway) -> set[str]:
    try:
        return {gateway.post(chat()).headers["x-breakeven-route"] for _ in range(10)}
    except OSError:
        return set()


BAD: dict[str, dict[str, Any]] = {
    "an unknown key": {"routing": {"thresold": 0.5}},
    "an artifact that is not there": {"routing": {"artifact": "nothing-here"}},
    "a ledger, which cannot change": {"ledger": {"url": "sqlite:///other.db"}},
}


@pytest.mark.parametrize("kind", BAD)
def test_a_worker_that_takes_the_place_of_another_has_the_config_in_force(tmp_path: Path, kind: str) -> None:
    def refused() -> float:
        return gateway.metric("config_reloads_total", outcome="refused")

    with running(tmp_path, {"server": {"workers": 2}}) as gateway:
        gateway.write_config({"routing": {"threshold": 0.0}})
        eventually(lambda: _routes(gateway) == {"teacher"}, _SECONDS)
        good = gateway.path.read_text()
        gateway.write_config(BAD[kind])
        eventually(lambda: refused() >= 2, _SECONDS)
        assert gateway.process is not None
        psutil.Process(gateway.process.pid).children()[0].kill()
        # The new one has judged the file as the others did.
        eventually(lambda: refused() >= 3, _SECONDS)
        asked = gateway.metric("requests_total")
        assert _routes(gateway) == {"teacher"}
        eventually(lambda: gateway.rows("select count(*) from requests") == [(asked + 10,)], _SECONDS)
        assert "Traceback" not in gateway.log.read_text()
        gateway.path.write_text(good.replace("threshold: 0.0", "threshold: 1.0"))
        eventually(lambda: _routes(gateway) == {"student"}, _SECONDS)
