"""A real Prometheus scrapes a running gateway; promtool reports no problems with its metrics."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.support import processes
from tests.support.processes import Child, Gateway, answers, free_port
from tests.support.real import program

QUESTIONS = [f"What is {n} plus {n}?" for n in range(8)]
MONEY = ("breakeven_cost_usd_total", "breakeven_tokens_total", "breakeven_baseline_usd_total")
HOSTING = "breakeven_hosting_usd_total"


class Prometheus:
    """A running Prometheus that scrapes one gateway every half second."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> dict[str, float]:
        """Values of an instant query by labels (`name=value,…`, sorted), without the labels added by the scrape."""
        answer = httpx2.get(f"{self._url}/api/v1/query", params={"query": expression}, timeout=10.0).json()
        assert answer["status"] == "success", answer
        return {_labels(row["metric"]): float(row["value"][1]) for row in answer["data"]["result"]}

    def history(self, expression: str) -> dict[str, list[float]]:
        """The samples of the last ten minutes by labels, in order of time."""
        answer = httpx2.get(f"{self._url}/api/v1/query", params={"query": f"{expression}[10m]"}, timeout=10.0).json()
        assert answer["status"] == "success", answer
        return {_labels(row["metric"]): [float(v) for _, v in row["values"]] for row in answer["data"]["result"]}

    def wait_for(self, expression: str, seconds: float = 30.0) -> None:
        """Wait until the expression has a result, at most `seconds`."""
        deadline = time.monotonic() + seconds
        while not self.query(expression):
            assert time.monotonic() < deadline, f"no result within {seconds:.0f} s: {expression}"
            time.sleep(0.1)


def _labels(metric: dict[str, str]) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted(metric.items()) if k not in ("__name__", "instance", "job"))


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    binary = program("prometheus")
    config = folder / "prometheus.yaml"
    scrape = {"job_name": "breakeven", "scrape_interval": "500ms", "scrape_timeout": "500ms"}
    config.write_text(yaml.safe_dump({"scrape_configs": [{**scrape, "static_configs": [{"targets": [target]}]}]}))
    url = f"http://127.0.0.1:{free_port()}"
    command = [binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    child = Child([*command, f"--web.listen-address={url.removeprefix('http://')}"], folder / "prometheus.log")
    try:
        child.wait_until(lambda: answers(f"{url}/-/ready"))
        yield Prometheus(url)
    finally:
        child.stop()


@pytest.fixture
def upstreams(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A replayed student and teacher whose token counts are known."""
    with replayed(tmp_path, "--speed", "10") as urls:
        yield urls


@pytest.fixture
def slow_upstreams(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The same upstreams, taking half a second for each answer."""
    with replayed(tmp_path, "--tokens-per-second", "10") as urls:
        yield urls


@contextlib.contextmanager
def replayed(folder: Path, *options: str) -> Iterator[tuple[str, str]]:
    rows = [
        {"prompt": q, "answer": "It is some number.", "prompt_tokens": 400, "cached_tokens": 128, "output_tokens": 5}
        for q in QUESTIONS
    ]
    with (
        processes.replay(folder, "student", rows, *options) as student,
        processes.replay(folder, "teacher-model", rows, *options) as teacher,
    ):
        yield student, teacher


def traffic(running: Gateway) -> int:
    """Send all questions to both upstreams, streamed and not, concurrently; returns the number of requests."""
    bodies: list[dict[str, Any]] = [
        {"model": model, "stream": stream, "messages": [{"role": "user", "content": question}]}
        for model in ("auto@0.0", "auto@1.0", "teacher")
        for stream in (False, True)
        for question in QUESTIONS
    ]
    with httpx2.Client(base_url=running.base_url, timeout=30.0) as client, ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda body: client.post("/chat/completions", json=body).status_code, bodies))
    assert statuses == [200] * len(bodies)
    return len(bodies)


def money(report: dict[str, Any]) -> dict[str, float]:
    """The cumulative series according to the report, with the keys of `Prometheus.query`."""
    found = {"breakeven_baseline_usd_total": float(Decimal(report["baseline_upper_bound_usd"]))}
    for side in ("student", "teacher"):  # further models are series of their own, by name
        figures = report["upstreams"][side]
        for kind, count in figures["tokens"].items():
            found[f"breakeven_tokens_total kind={kind},upstream={side}"] = count
        for kind, usd in figures["cost_usd"].items():
            found[f"breakeven_cost_usd_total kind={kind},upstream={side}"] = float(usd)
    return found


def scraped(server: Prometheus) -> dict[str, float]:
    return {f"{name} {labels}".rstrip(): value for name in MONEY for labels, value in server.query(name).items()}


def test_money_counters_continue_after_a_restart(
    gateway: Callable[..., Gateway], upstreams: tuple[str, str], tmp_path: Path
) -> None:
    program("prometheus")  # skips before anything is started
    running = gateway(*upstreams)
    with prometheus(tmp_path, f"127.0.0.1:{running.port}") as server:
        sent = traffic(running)
        server.wait_for(f"sum(breakeven_requests_total) == {sent}")
        assert set(server.query("up").values()) == {1.0}
        assert server.query('sum(breakeven_requests_total{outcome="ok"})') == {"": sent}
        assert server.query("sum(breakeven_request_seconds_count)") == {"": sent}
        before = running.report()
        assert scraped(server) == money(before)
        assert before["upstreams"]["teacher"]["tokens"]["cached_input"] == 128 * 4 * len(QUESTIONS)

        assert running.stop() == 0
        server.wait_for("up == 0")
        running.start()
        server.wait_for("up == 1")
        assert scraped(server) == money(before), "the same right after the restart, with no traffic"

        sent = traffic(running)
        server.wait_for(f"sum(breakeven_requests_total) == {sent}")
        after = running.report()
        assert scraped(server) == money(after)
        assert Decimal(after["baseline_upper_bound_usd"]) == 2 * Decimal(before["baseline_upper_bound_usd"])
        for name in (*MONEY, HOSTING):
            for labels, values in server.history(name).items():
                assert values == sorted(values), f"{name} {labels} went down"
                assert len(values) > 4


def test_a_graceful_shutdown_loses_no_request(
    gateway: Callable[..., Gateway], slow_upstreams: tuple[str, str], tmp_path: Path
) -> None:
    """Responses in progress at SIGTERM are completed, and the requests are in the ledger."""
    running = gateway(*slow_upstreams)
    body = {"model": "auto@0.0", "stream": True, "messages": [{"role": "user", "content": QUESTIONS[0]}]}
    stop = threading.Event()

    def ask(_: int) -> tuple[int, int]:
        """Numbers of complete and of truncated responses of one client that sends requests until it is refused."""
        whole = 0
        while not stop.is_set():
            began = False
            try:
                with httpx2.stream("POST", f"{running.base_url}/chat/completions", json=body, timeout=30.0) as answer:
                    if answer.status_code != 200:
                        break
                    began = True
                    if not answer.read().endswith(b"data: [DONE]\n\n"):
                        return whole, 1
                    whole += 1
            except (httpx2.ConnectError, httpx2.RemoteProtocolError, httpx2.ReadError):
                return whole, int(began)
        return whole, 0

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask, number) for number in range(8)]
        time.sleep(2)
        assert running.stop() == 0
        stop.set()
        results = [client.result() for client in clients]
    assert sum(broken for _, broken in results) == 0
    whole = sum(whole for whole, _ in results)
    assert whole >= 8
    report = running.report()
    assert report["requests"] == whole
    assert report["upstreams"]["teacher"]["tokens"] == {
        "input": 272 * whole,
        "cached_input": 128 * whole,
        "cache_write": 0,
        "output": 5 * whole,
    }


def test_promtool_reports_no_problems(gateway: Callable[..., Gateway], upstreams: tuple[str, str]) -> None:
    promtool = program("promtool")
    running = gateway(*upstreams)
    for moment in ("before any request", "after traffic"):
        text = httpx2.get(f"{running.url}/metrics", timeout=30.0).text
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), moment
        traffic(running)


def test_prometheus_negotiates_openmetrics(gateway: Callable[..., Gateway], upstreams: tuple[str, str]) -> None:
    running = gateway(*upstreams)
    accept = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
    answer = httpx2.get(f"{running.url}/metrics", headers=accept, timeout=30.0)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
