"""Observed replicas with real programs: a Prometheus that scrapes them, and vLLM itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from breakeven.gateway.config.hosting import HostingObserved
from breakeven.gateway.upstreams.replicas import Sample, sample
from tests.support.processes import Child, Gateway, answers, free_port
from tests.support.real import Vllm, program
from tests.support.replicas import MetricsServer, metrics_of_vllm

NOWHERE = ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1")
READY = 'sum(up{job="student"})'
BUSY = "count(vllm:num_requests_running > 0) or vector(0)"


@contextlib.contextmanager
def prometheus(folder: Path, targets: list[str]) -> Iterator[str]:
    """A Prometheus that scrapes these targets twice a second; its URL."""
    binary, url = program("prometheus"), f"http://127.0.0.1:{free_port()}"
    job = {"job_name": "student", "scrape_interval": "500ms", "scrape_timeout": "500ms"}
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump({"scrape_configs": [{**job, "static_configs": [{"targets": targets}]}]}))
    command = [binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    child = Child([*command, f"--web.listen-address={url.removeprefix('http://')}"], folder / "prometheus.log")
    try:
        child.wait_until(lambda: answers(f"{url}/-/ready"))
        yield url
    finally:
        child.stop()


def eventually(check: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def observing(url: str, **queries: Any) -> dict[str, Any]:
    return {
        "hosting_usd_per_hour": 3600,
        "hosting_replicas": 5,
        "hosting_observed": {"prometheus_url": url, "interval_seconds": 1, **queries},
    }


def test_replicas_that_a_real_prometheus_counts(gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    program("prometheus")  # skips before anything is started
    with MetricsServer(metrics_of_vllm(running=1.0)) as one, MetricsServer() as two:
        with prometheus(tmp_path, [f"127.0.0.1:{server.port}" for server in (one, two)]) as url:
            running = gateway(*NOWHERE, student=observing(url, replicas_query=READY, busy_query=BUSY))

            def sees(count: float) -> bool:
                return running.metrics().get("breakeven_student_replicas") == count

            eventually(lambda: sees(2), "two replicas")
            time.sleep(2)
            two.stop()
            eventually(lambda: sees(1), "one replica")
            one.stop()
            eventually(lambda: sees(0), "none: Prometheus itself says 0")
        eventually(lambda: "breakeven_student_replicas" not in running.metrics(), "Prometheus is gone")
        assert "student.hosting_observed.prometheus_url: refuses connections" in running.child.said()
        seen = running.report()["hosting_observed"]
        ((replicas, busy, active),) = running.sql(
            "SELECT sum(replicas), sum(busy), sum(active_measured) FROM hosting_observed"
        )
        assert 0 < busy < replicas
        assert seen["idle_share"] == 1 - busy / replicas
        assert (seen["share_without_tokens"], active) == (None, 0)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ('sum(up{job="nobody"})', "replicas_query: must give one number and gives no series"),
        ("up", "replicas_query: must give one number and gives 2 series; put sum() around it"),
        ("sum(up", "replicas_query: is refused: "),
    ],
)
def test_a_query_without_a_number_is_not_zero_replicas(
    query: str, said: str, gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    program("prometheus")  # skips before anything is started
    with MetricsServer() as one, MetricsServer() as two:
        targets = [f"127.0.0.1:{server.port}" for server in (one, two)]
        with prometheus(tmp_path, targets) as url:
            eventually(lambda: len(rows(url, "up")) == 2, "both targets were scraped")
            running = gateway(*NOWHERE, student=observing(url, replicas_query=query))
            eventually(lambda: said in running.child.said(), said)
            report = running.report()
            assert set(report["hosting_observed"].values()) == {None}
            assert running.sql("SELECT count(*) FROM hosting_observed") == [(0,)]


def rows(url: str, query: str) -> list[Any]:
    found: list[Any] = httpx2.get(f"{url}/api/v1/query", params={"query": query}).json()["data"]["result"]
    return found


def test_the_metrics_of_a_real_vllm(vllm: Vllm) -> None:
    url = vllm.base_url.removesuffix("/v1") + "/metrics"

    def look() -> Sample:
        return asyncio.run(sample(HostingObserved(vllm_metrics=[url]), 10.0))

    before = look()
    assert (before.replicas, before.busy) == (1, 0)
    body = {"model": "student", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    assert httpx2.post(f"{vllm.base_url}/chat/completions", json=body, timeout=120.0).status_code == 200
    after = look()
    assert before.active(after) == 1
    assert after.active(after) == after.busy
