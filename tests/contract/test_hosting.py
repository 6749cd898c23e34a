"""Observed replicas: a real gateway beside vLLM metrics that come and go; all figures say the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import ask, eventually
from tests.contract.gateway import ROOT, Gateway, chat, running
from tests.support.replicas import MetricsServer, metrics_of_vllm

ADMIN = "admin-canary-61b0"
# One replica costs one USD a second, and the schedule has five of them.
PRICE = {"hosting_usd_per_hour": 3600, "hosting_replicas": 5}


@pytest.fixture
def replicas() -> Iterator[list[MetricsServer]]:
    """Three replicas, none of which runs yet."""
    servers = [MetricsServer() for _ in range(3)]
    yield servers
    for server in servers:
        server.stop()


def settings(replicas: list[MetricsServer]) -> dict[str, Any]:
    return {"hosting_observed": {"vllm_metrics": [server.url for server in replicas], "interval_seconds": 1}}


def sees(gateway: Gateway, count: int | None) -> None:
    """Wait until the gateway reports that many replicas; None: that it does not know."""
    name = "breakeven_student_replicas"
    eventually(lambda: gateway.metrics().get(name) == count, seconds=15.0)


def report(gateway: Gateway, *options: str) -> Any:
    command = [sys.executable, "-m", "breakeven.gateway.cli", "report", "--config", str(gateway.path), *options]
    done = subprocess.run(command, cwd=ROOT, env=gateway.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in options else done.stdout


def test_replicas_are_paid_for_as_they_run(tmp_path: Path, replicas: list[MetricsServer]) -> None:
    one, two, three = replicas
    one.start()
    two.start()
    costs = []
    changes = {"student": PRICE | settings(replicas)}
    with running(tmp_path, changes, environment={"BREAKEVEN_ADMIN_KEY": ADMIN}) as gateway:
        sees(gateway, 2)
        assert gateway.post(chat()).status == 200
        one.body = metrics_of_vllm(running=1.0, generation=1.0)
        for step in range(4):
            one.body = metrics_of_vllm(running=1.0, generation=step)
            time.sleep(0.7)
            costs.append(gateway.metric("hosting_usd_total"))
        one.stop()
        two.stop()
        sees(gateway, 0)
        costs.append(gateway.metric("hosting_usd_total"))
        for server in replicas:
            server.start()
        sees(gateway, 3)
        costs.append(gateway.metric("hosting_usd_total"))
        three.body = "a page that is not vLLM's"
        sees(gateway, None)
        assert "hosting_observed.vllm_metrics[2]: answers without vLLM's series" in gateway.log.read_text()
        costs.append(gateway.metric("hosting_usd_total"))
        assert costs == sorted(costs), "the cost so far never goes down"

        found = report(gateway, "--json")
        ends = time.time()
        ((since,),) = gateway.rows("SELECT since FROM hosting_rates")
        sums = "sum(observed), sum(replicas), sum(busy), sum(active), sum(busy_measured)"
        ((observed, paid, busy, active, measured),) = gateway.rows(f"SELECT {sums} FROM hosting_observed")
        unobserved = (ends - (since + observed) / 1e6) * 5
        assert float(found["hosting_usd"]) == pytest.approx(paid / 1e6 + unobserved, abs=5 * 3.0)
        assert float(found["hosting_usd"]) < 0.95 * 5 * (ends - since / 1e6), "less than the schedule"
        assert 0 < busy <= active < paid == measured
        seen = found["hosting_observed"]
        assert seen["mean_replicas"] == paid / observed
        assert seen["idle_share"] == 1 - busy / measured
        assert seen["share_without_tokens"] == 1 - active / measured
        assert 0.3 < seen["share"] < 1
        assert (seen["replicas"], seen["full_load_usd_per_million_tokens"]) == (None, None)
        usd_per_token = float(found["hosting_usd"]) / 13  # the scripted usage
        assert found["student_usd_per_million_tokens"] == pytest.approx(usd_per_token * 1e6)

        metrics = gateway.metrics()
        assert metrics["breakeven_student_idle_share"] == seen["idle_share"]
        assert metrics["breakeven_hosting_observed_share"] <= seen["share"] + 0.05
        answer = ask(gateway.port, "/admin/report", headers={"authorization": f"Bearer {ADMIN}"}, method="GET")
        assert answer.json["hosting_observed"] | {"share": 0} == seen | {"share": 0}
        text = report(gateway)
        assert "replicas on average, observed" in text
        assert f"{seen['idle_share']:.1%}" in text
        assert "not measured yet: takes 95% of the hours observed" in text


def test_the_price_at_full_load_of_an_observed_period(tmp_path: Path, replicas: list[MetricsServer]) -> None:
    replicas[0].start()
    replicas[0].body = metrics_of_vllm(running=2.0)
    with running(tmp_path, {"student": PRICE | settings(replicas[:1])}) as gateway:
        sees(gateway, 1)
        ((since,),) = gateway.rows("SELECT since FROM hosting_observed ORDER BY hour LIMIT 1")
        assert gateway.post(chat()).status == 200
        time.sleep(4.0)
        begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since / 1e6 + 1))

        def observed() -> dict[str, Any] | None:
            # A busy machine misses an observation, which is a large part of four seconds.
            found = report(gateway, "--json", "--since", begun)
            return found if found["hosting_observed"]["replicas"] is not None else None

        found = eventually(observed, 40.0)
        seen = found["hosting_observed"]
        assert (seen["share"], seen["replicas"], seen["idle_share"]) == (1.0, 1.0, 0.0)
        assert seen["full_load_usd_per_million_tokens"] == found["student_usd_per_million_tokens"]
        assert Decimal(1) < Decimal(found["hosting_usd"]) < 100


def test_one_of_several_workers_observes_and_a_reload_starts_it(tmp_path: Path, replicas: list[MetricsServer]) -> None:
    replicas[0].start()
    with running(tmp_path, {"student": PRICE, "server": {"workers": 2}}) as gateway:
        time.sleep(1.5)
        assert replicas[0].asked == 0, "off until it is configured"
        assert "breakeven_hosting_observed_share" not in gateway.metrics()
        begun = time.time()
        gateway.write_config({"student": settings(replicas[:1])})
        sees(gateway, 1)
        time.sleep(3.0)
        asked, seconds = replicas[0].asked, time.time() - begun
        assert 3 <= asked <= seconds + 2, "each second once, not once by each worker"
        ((observed,),) = gateway.rows("SELECT sum(observed) FROM hosting_observed")
        assert 2e6 <= observed <= seconds * 1e6
        gateway.write_config({"student": {"hosting_observed": None}})
        sees(gateway, None)


def test_check_prints_the_section(tmp_path: Path, replicas: list[MetricsServer]) -> None:
    with running(tmp_path, {"student": PRICE | settings(replicas)}) as gateway:
        command = [sys.executable, "-m", "breakeven.gateway.cli", "check", "--config", str(gateway.path)]
        done = subprocess.run(command, cwd=ROOT, env=gateway.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert f"  hosting_observed:\n    vllm_metrics:\n    - {replicas[0].url}\n" in done.stdout
        assert "    interval_seconds: 1.0\n" in done.stdout
