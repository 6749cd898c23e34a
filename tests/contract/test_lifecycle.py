"""Lifecycle: draining, reload, workers, durability, and a classifier that fails."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sqlite3
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.contract.client import RawClient, ask, eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import (
    DONE,
    End,
    Head,
    ScriptedUpstream,
    Send,
    Sleep,
    Step,
    answer,
    completion,
    delta,
    stream,
    usage_chunk,
)

SSE = {"content-type": "text/event-stream"}
FINISH = delta("", finish="stop")
BODY = json.dumps(chat(stream=True)).encode()


def slow(seconds: float) -> list[Step]:
    return [Head(200, SSE), Send(delta("1")), Sleep(seconds), Send(FINISH + usage_chunk() + DONE), End()]


@contextlib.contextmanager
def open_stream(gateway: Gateway, *steps: Step) -> Iterator[tuple[RawClient, dict[str, str]]]:
    gateway.student.script(*steps)
    with gateway.connect() as client:
        status, headers = client.request("POST", "/v1/chat/completions", BODY).head()
        assert status == 200
        yield client, headers


def test_sigterm_drains_running_streams_and_exits_0(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, open_stream(gateway, *slow(0.5)) as (client, headers):
        idle = gateway.connect()
        idle.request("GET", "/healthz").response()
        gateway.signal(signal.SIGTERM)
        eventually(lambda: gateway.get("/readyz").status == 503, 0.5)
        refused = gateway.post(chat())
        assert (refused.status, refused.error["code"]) == (503, "draining")
        assert refused.headers["retry-after"]
        assert b"".join(client.segments(headers)) == delta("1") + FINISH + DONE
        assert gateway.wait(5) == 0
        idle.socket.close()
    assert {record["outcome"] for record in gateway.settled()} == {"rejected", "ok"}


def test_the_drain_deadline_ends_streams_with_an_error_event(tmp_path: Path) -> None:
    changes = {"server": {"drain_seconds": 0.3}}
    with running(tmp_path, changes) as gateway, open_stream(gateway, *slow(3)) as (client, headers):
        gateway.signal(signal.SIGTERM)
        body = b"".join(client.segments(headers))
        assert body.startswith(delta("1") + b'data: {"error":')
        assert b'"code":"draining"' in body
        assert body.endswith(DONE)
        assert gateway.wait(5) == 0
    assert gateway.settled()[0]["outcome"] == "gateway_error"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_streams_with_an_error_event_at_once(tmp_path: Path, number: signal.Signals) -> None:
    changes = {"server": {"drain_seconds": 30}, "student": {"timeouts": {"idle_seconds": 20, "total_seconds": 60}}}
    with running(tmp_path, changes) as gateway, open_stream(gateway, *slow(20)) as (client, headers):
        waiting = gateway.connect()
        gateway.student.script(Sleep(20))
        waiting.request("POST", "/v1/chat/completions", json.dumps(chat()).encode())
        gateway.student.wait_for(2)
        gateway.signal(number)
        time.sleep(0.2)
        started = time.monotonic()
        gateway.signal(number)
        assert b'"code":"draining"' in b"".join(client.segments(headers))
        refused = waiting.response()
        assert (refused.status, refused.error["code"]) == (503, "draining")
        waiting.socket.close()
        assert gateway.wait(5) == 0
        assert time.monotonic() - started < 3


def test_reload_on_a_changed_file_swaps_while_running_requests_keep_theirs(tmp_path: Path) -> None:
    patient = {"student": {"timeouts": {"idle_seconds": 5}}}
    with running(tmp_path, patient) as gateway, ScriptedUpstream("other") as other:
        with open_stream(gateway, *slow(2.5)) as (client, headers):
            assert gateway.post(chat()).headers["x-breakeven-threshold"] == "1"
            changes = {"routing": {"threshold": 0.0}, "teacher": {"base_url": other.url, "model": "other"}}
            gateway.write_config({**changes, "student": {"timeouts": {"idle_seconds": 0.2}}})
            eventually(lambda: gateway.post(chat()).headers["x-breakeven-threshold"] == "0")
            assert other.last.json["model"] == "other"
            assert b"".join(client.segments(headers)) == delta("1") + FINISH + DONE
        assert gateway.metric("config_last_reload_successful") == 1
        assert gateway.metric("in_flight") == 0
        assert gateway.get("/readyz").json["config"] == "in force"
        assert gateway.get("/v1/models/other").status == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("student: [", "not valid YAML"),
        ("student: {nonsense: 1}", "student.nonsense"),
        (None, "server.port"),
        ("", "must be a mapping"),
    ],
)
def test_reload_of_an_invalid_config_keeps_the_old_one_and_says_so(
    gateway: Gateway, text: str | None, said: str
) -> None:
    good = gateway.path.read_text()
    threshold = gateway.post(chat()).headers["x-breakeven-threshold"]
    read_at = gateway.metric("config_last_reload_success_timestamp_seconds")
    assert abs(read_at - time.time()) < 600
    gateway.path.write_text(good.replace("port: 0", "port: 1") if text is None else text)
    gateway.signal(signal.SIGHUP)
    eventually(lambda: gateway.metric("config_last_reload_successful") == 0)
    ready = gateway.get("/readyz")
    assert ready.status == 200
    assert any(said in fault for fault in ready.json["config_faults"])
    assert said in gateway.log.read_text()
    assert gateway.post(chat()).headers["x-breakeven-threshold"] == threshold
    assert gateway.metric("config_last_reload_success_timestamp_seconds") == read_at
    gateway.path.write_text(good)
    gateway.signal(signal.SIGHUP)
    eventually(lambda: gateway.metric("config_last_reload_successful") == 1)
    assert gateway.metric("config_last_reload_success_timestamp_seconds") > read_at
    assert gateway.get("/readyz").json["config_faults"] == []


def test_sighup_reloads_an_unchanged_file_and_ends_nothing(gateway: Gateway) -> None:
    before = gateway.log.read_text().count("the config was reloaded")
    with open_stream(gateway, *slow(0.4)) as (client, headers):
        gateway.signal(signal.SIGHUP)
        assert b"".join(client.segments(headers)).endswith(DONE)
    eventually(lambda: gateway.log.read_text().count("the config was reloaded") == before + 1)
    assert gateway.post(chat()).status == 200


def test_a_router_that_fails_or_is_late_means_the_teacher_and_is_counted(tmp_path: Path) -> None:
    with running(tmp_path, command=("-m", "tests.contract.broken_router")) as gateway:
        assert gateway.post(chat("an easy one")).headers["x-breakeven-route"] == "student"
        for text in ("please raise", "please dawdle"):
            response = gateway.post(chat(text))
            assert response.status == 200
            assert response.headers["x-breakeven-route"] == "teacher"
            assert response.headers["x-breakeven-reason"] == "router_error"
        assert gateway.metric("requests_total", reason="router_error") == 2
        assert "canary" not in gateway.log.read_text()


def test_the_router_never_holds_up_a_stream_for_long(gateway: Gateway) -> None:
    steps: list[Step] = [Head(200, SSE)]
    for _ in range(100):
        steps += [Send(delta("x")), Sleep(0.01)]
    stop = threading.Event()
    prompt = json.dumps(chat("word and another word 漢字 " * 10_000)).encode()

    def press() -> None:
        while not stop.is_set():
            ask(gateway.port, "/v1/chat/completions", prompt)

    with open_stream(gateway, *steps, Send(FINISH + DONE), End()) as (client, headers):
        thread = threading.Thread(target=press)
        thread.start()
        try:
            times = [time.monotonic() for _ in client.segments(headers)]
        finally:
            stop.set()
            thread.join()
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert statistics.median(gaps) < 0.03
    # Not the worst gap: this machine may be busy with something else.
    assert sorted(gaps)[int(len(gaps) * 0.9)] < 0.1
    histogram = gateway.metric("router_seconds_sum") / gateway.metric("router_seconds_count")
    assert histogram < 0.02


def test_sigkill_under_load_loses_no_answer_that_a_client_has_and_has_none_twice(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        complete: list[str] = []
        stop = threading.Event()

        def load(number: int) -> None:
            count = 0
            while not stop.is_set():
                count += 1
                name = f"kill-{number}-{count}"
                try:
                    response = gateway.post(chat(stream=count % 2 == 0), {"x-request-id": name})
                except (OSError, EOFError, ValueError):
                    return
                if response.status == 200 and (count % 2 or response.body.endswith(DONE)):
                    complete.append(name)

        threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
        gateway.signal(signal.SIGKILL)
        stop.set()
        for thread in threads:
            thread.join()
        gateway.wait()
        assert len(complete) > 50
        gateway.start()
        rows = gateway.rows("select request_id, count(*) from requests group by request_id")
        stored = dict(rows)
        assert set(complete) <= set(stored)
        assert set(stored.values()) == {1}


def test_a_locked_database_holds_up_no_request_and_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.post(chat())
        gateway.rows("select 1 from requests")
        lock = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            started = time.monotonic()
            for _ in range(20):
                assert gateway.post(chat()).status == 200
            assert time.monotonic() - started < 3
            eventually(lambda: "wait for the ledger" in gateway.log.read_text(), 15)
            assert gateway.metric("ledger_pending") == 20
            assert gateway.metric("ledger_write_failures_total") >= 1
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        eventually(lambda: gateway.metric("ledger_pending") == 0, 15)
        assert gateway.rows("select count(*) from requests") == [(21,)]


def test_a_full_disk_holds_up_no_request_and_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.post(chat())
        gateway.rows("select 1 from requests")
        assert gateway.process is not None
        process = psutil.Process(gateway.process.pid)
        unlimited = process.rlimit(psutil.RLIMIT_FSIZE)
        # No file may grow any more: to the process that is a disk without room.
        process.rlimit(psutil.RLIMIT_FSIZE, (0, unlimited[1]))
        try:
            for number in range(20):
                assert gateway.post(chat(stream=number % 2 == 0)).status == 200
            assert gateway.metric("ledger_pending") == 20
            assert gateway.metric("ledger_write_failures_total") >= 1
        finally:
            process.rlimit(psutil.RLIMIT_FSIZE, unlimited)
        eventually(lambda: gateway.metric("ledger_pending") == 0, 15)
        assert gateway.rows("select count(*), count(distinct id) from requests") == [(21, 21)]


def test_two_instances_on_one_host_do_not_disturb_each_other(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    with running(one, {"server": {"workers": 2}}) as first, running(two, {"server": {"workers": 2}}) as second:
        for _ in range(5):
            first.post(chat())
        assert first.metric("requests_total") == 5
        assert second.metric("requests_total") == 0
        second.stop()
        assert first.post(chat()).status == 200
        assert first.metric("requests_total") == 6


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("four")
    admin = {"BREAKEVEN_ADMIN_KEY": "admin"}
    with running(folder, arguments=("--workers", "4"), environment=admin) as gateway:
        eventually(lambda: len(workers(gateway)) == 4, 20)
        yield gateway


def workers(gateway: Gateway) -> list[psutil.Process]:
    assert gateway.process is not None
    children = psutil.Process(gateway.process.pid).children()
    return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]


def counters(gateway: Gateway) -> dict[str, float]:
    return {name: value for name, value in gateway.metrics().items() if "_total" in name or "_count" in name}


def test_workers_counters_never_go_backwards_even_when_one_dies(four: Gateway) -> None:
    last: dict[str, float] = {}
    asked = 0
    for turn in range(12):
        for _ in range(5):
            assert four.post(chat()).status == 200
            asked += 1
        now = counters(four)
        fell = {name: (value, now.get(name)) for name, value in last.items() if now.get(name, -1) < value}
        assert not fell, turn
        last = now
        if turn == 5:
            workers(four)[0].send_signal(signal.SIGKILL)
            eventually(lambda: len(workers(four)) == 4, 20)
    assert four.metric("requests_total") == asked
    # Those of the worker that died are stored once its successor has started.
    eventually(lambda: four.rows("select count(*) from requests") == [(asked,)], 60)
    eventually(lambda: four.metric("in_flight") == 0)


def test_workers_all_take_a_changed_config(four: Gateway) -> None:
    four.write_config({"routing": {"threshold": 0.25}})
    seen = eventually(lambda: {four.post(chat()).headers["x-breakeven-threshold"] for _ in range(30)} == {"0.25"}, 10)
    assert seen


def test_workers_all_take_a_changed_policy(four: Gateway) -> None:
    put = ask(four.port, "/admin/policy", {"threshold": 0.75}, {"authorization": "Bearer admin"}, "PUT")
    assert put.status == 200
    assert eventually(lambda: {four.post(chat()).headers["x-breakeven-threshold"] for _ in range(30)} == {"0.75"}, 10)


def test_workers_drain_and_exit_0(tmp_path: Path) -> None:
    with running(tmp_path, arguments=("--workers", "2")) as gateway, open_stream(gateway, *slow(0.5)) as (client, head):
        children = workers(gateway)
        gateway.signal(signal.SIGTERM)
        assert b"".join(client.segments(head)) == delta("1") + FINISH + DONE
        assert gateway.wait(8) == 0
        assert not [child for child in children if child.is_running()]


def test_workers_end_when_their_parent_was_killed(tmp_path: Path) -> None:
    with running(tmp_path, arguments=("--workers", "2")) as gateway:
        children = eventually(lambda: workers(gateway) if len(workers(gateway)) == 2 else [])
        gateway.signal(signal.SIGKILL)
        gateway.wait()
        eventually(lambda: not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE], 10)


def test_without_keys_the_gateway_refuses_to_listen_beyond_loopback(tmp_path: Path) -> None:
    said = pytest.raises(AssertionError, match=r"auth.keys: empty, so server.host must be loopback")
    with said, running(tmp_path, arguments=("--host", "0.0.0.0")):
        pass


def test_a_missing_upstream_key_fails_closed(tmp_path: Path) -> None:
    said = pytest.raises(AssertionError, match=r"teacher.api_key_env: the environment variable T_ABSENT is not set")
    with said, running(tmp_path, {"teacher": {"api_key_env": "T_ABSENT"}}):
        pass


def test_the_environment_is_not_needed_for_an_upstream_without_a_key(tmp_path: Path) -> None:
    assert "T_ABSENT" not in os.environ
    with running(tmp_path, {"student": {"api_key_env": None}}) as gateway:
        gateway.student.script(*answer(completion()))
        gateway.post(chat())
        assert "authorization" not in gateway.student.last.headers
        gateway.student.script(*stream(delta(), FINISH, DONE))
        gateway.post(chat(stream=True), {"authorization": "Bearer of-the-client"})
        assert "authorization" not in gateway.student.last.headers
