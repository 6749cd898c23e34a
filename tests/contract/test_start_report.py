"""What the log says at the start: what was reached, what not, and what is missing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.contract.client import RawClient, eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import answer, error_answer
from tests.contract.test_lifecycle import workers
from tests.contract.test_workers_sessions import connected
from tests.support.tls import unused_port

SAID_TO_BE_MISSING = [
    "auth.keys", "BREAKEVEN_ADMIN_KEY in the environment", "road.sample", "student.hosting_usd_per_hour",
    "economics.investment_usd",
]  # fmt: skip


def start(gateway: Gateway) -> list[tuple[str, str]]:
    """Level and text of the lines about the start, once they are there."""

    def lines() -> list[tuple[str, str]]:
        found = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
        return [(one["level"], one["message"]) for one in found if one["logger"] == "breakeven.start"]

    eventually(lines)
    # They are written together.
    time.sleep(0.1)
    return lines()


def missing(lines: list[tuple[str, str]]) -> list[str]:
    return [text.removeprefix("not set: ").partition(":")[0] for _, text in lines if text.startswith("not set: ")]


def test_what_was_reached_and_what_is_missing(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        lines = start(gateway)
        assert lines[:2] == [
            ("info", f"student at {gateway.student.url}: reached; it serves small"),
            ("info", f"teacher at {gateway.teacher.url}: reached; it serves big"),
        ]
        assert missing(lines) == SAID_TO_BE_MISSING
        # Being reached is no answer of its model.
        ready = gateway.get("/readyz").json
        assert (ready["status"], ready["student"], ready["teacher"]) == ("ready", "unknown", "unknown")
        assert (ready["student_cause"], ready["teacher_cause"]) == (None, None)
        gateway.post(chat())
        ready = gateway.get("/readyz").json
        assert (ready["student"], ready["teacher"]) == ("up", "unknown")


def test_what_a_reload_adds_is_asked_too(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, unused_port() as port:
        before = start(gateway)
        absent = f"http://127.0.0.1:{port}/v1"
        models = [{"name": "embed", "base_url": gateway.teacher.url}, {"name": "other", "base_url": absent}]
        gateway.write_config({"models": models})

        def added() -> list[tuple[str, str]]:
            return start(gateway)[len(before) :]

        eventually(lambda: len(added()) == 2, 10)
        assert added()[0] == (
            "warning",
            f"model embed at {gateway.teacher.url}: reached, but it does not list embed; correct models[embed].model, "
            "or run `breakeven check --live`, which lists what is served",
        )
        level, text = added()[1]
        assert (level, text.startswith(f"model other at {absent}: not reached; refused: ")) == ("warning", True)
        # What stayed as it was is not asked again.
        assert (len(gateway.student.gets), len(gateway.teacher.gets)) == (2, 2)


def test_nothing_is_missing(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "auth": {"keys": [{"name": "a", "sha256": "0" * 64}]},
        "road": {"sample": 0.1},
        "student": {"hosting_usd_per_hour": 1},
        "economics": {"investment_usd": 100},
    }
    with running(tmp_path, changes, environment={"BREAKEVEN_ADMIN_KEY": "k"}) as gateway:
        assert missing(start(gateway)) == []


def test_only_a_teacher(tmp_path: Path) -> None:
    with running(tmp_path, {"student": None}, environment={"BREAKEVEN_ADMIN_KEY": "k"}) as gateway:
        lines = start(gateway)
        assert [text.split()[0] for _, text in lines[:-2]] == ["teacher"]
        assert missing(lines) == ["auth.keys", "student"]
        ready = gateway.get("/readyz")
        assert (ready.status, ready.json["student"], ready.json["teacher"]) == (200, "not configured", "unknown")
        assert ready.json["student_cause"] is None


def test_what_was_not_reached_has_its_cause(tmp_path: Path) -> None:
    with unused_port() as port, running(tmp_path, {"student": {"base_url": f"http://127.0.0.1:{port}/v1"}}) as gateway:
        level, text = start(gateway)[0]
        where = f"student at http://127.0.0.1:{port}/v1"
        assert (level, text.partition(" nothing")[0]) == ("warning", f"{where}: not reached; refused:")
        ready = gateway.get("/readyz").json
        assert (ready["student"], ready["student_cause"]) == ("unknown", "refused")
        assert gateway.metric("upstream_failures_total") == 0


def test_servers_that_say_something_else(tmp_path: Path) -> None:
    gateway_folder = tmp_path
    with running(gateway_folder) as gateway:
        gateway.student.models(*answer({"data": [{"id": "another"}]}))
        gateway.teacher.models(*error_answer(401))
        before = len(start(gateway))
        gateway.stop()
        gateway.start()
        lines = eventually(lambda: (found := start(gateway)[before:]) and found)
        level, text = lines[0]
        assert (level, text.partition(";")[0]) == (
            "warning",
            f"student at {gateway.student.url}: reached, but it does not list small",
        )
        level, text = lines[1]
        assert (level, text.partition(":")[0]) == ("warning", "teacher at http")
        assert "fails with status 401; key_refused: it refused the key" in text
        gateway.teacher.models(*error_answer(404))
        gateway.student.models(*answer({"data": [{"id": "small", "max_model_len": 2048}]}))
        before += len(lines)
        gateway.stop()
        gateway.start()
        lines = eventually(lambda: (found := start(gateway)[before:]) and found)
        assert lines[0][1].endswith("reached; it serves small with a context window of 2048 tokens")
        assert lines[1][1].endswith("reached; it lists no models, so whether it serves big is not known")


def test_several_workers_say_it_once(tmp_path: Path) -> None:
    with running(tmp_path, {"server": {"workers": 2}}) as gateway:
        lines = start(gateway)
        time.sleep(1.0)
        assert start(gateway) == lines
        assert [text.split()[0] for _, text in lines[:2]] == ["student", "teacher"]
        assert missing(lines) == SAID_TO_BE_MISSING


def test_each_worker_knows_what_was_not_reached(tmp_path: Path) -> None:
    with unused_port() as port:
        changes = {"server": {"workers": 2}, "teacher": {"base_url": f"http://127.0.0.1:{port}/v1"}}
        with running(tmp_path, changes) as gateway:
            eventually(lambda: len(workers(gateway)) == 2, 60)
            for stopped in workers(gateway):
                with connected(gateway, stopped) as client:

                    def known(client: RawClient = client) -> bool:
                        ready = client.request("GET", "/readyz").response("GET").json
                        assert (ready["teacher"], ready["student_cause"]) == ("unknown", None)
                        return bool(ready["teacher_cause"] == "refused")

                    eventually(known, 30)
