"""The dashboards: built from the code, valid, and every query has data in a real Prometheus."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from docs.generate import pages
from tests.contract.client import eventually
from tests.contract.gateway import running
from tests.contract.road_rows import enter
from tests.support import panels, processes
from tests.support.processes import ROOT, Gateway
from tests.support.prometheus import prometheus
from tests.support.real import Vllm
from tests.support.replicas import MetricsServer

QUESTIONS = [f"What is {n} plus {n}?" for n in range(8)]
INTERVAL = "5s"
INVESTMENT = 0.4
NAMES = ("money", "operations", "routing")


def documents() -> dict[str, dict[str, Any]]:
    return {name: json.loads((panels.DASHBOARDS / f"{name}.json").read_text()) for name in NAMES}


def test_the_committed_json_is_what_the_code_builds() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is absent; install the extra test")
    spec = importlib.util.spec_from_file_location("dashboards_build", ROOT / "deploy/grafana/build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    for name, text in build.documents().items():
        committed = (panels.DASHBOARDS / name).read_text(encoding="utf-8")
        assert committed == text, "run: python deploy/grafana/build.py"


@pytest.mark.parametrize("name", NAMES)
def test_each_dashboard_is_valid_by_grafanas_schema(name: str) -> None:
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason="install the extra test")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    document = documents()[name]
    again = json.loads(JSONEncoder().encode(models.Dashboard.from_json(document)))
    assert again["panels"] == document["panels"]
    assert again["templating"] == document["templating"]
    assert again["links"] == document["links"]


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_titles_descriptions_and_units(name: str) -> None:
    document = documents()[name]
    every = list(panels.panels_of(document))
    shown = [panel for panel in every if panel["type"] != "row"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert [variable["name"] for variable in document["templating"]["list"]] == ["datasource", "job"]
    for panel in shown:
        assert panel["title"]
        assert len(panel["description"]) > 15, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        if panel["type"] in ("stat", "timeseries"):
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        if panel["type"] in ("stat", "timeseries", "state-timeline"):
            assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]
        # Without one Grafana shows the expression, or `{}`.
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
    spots = [
        (x, y)
        for panel in every
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(spots) == len(set(spots)), "panels overlap"


@pytest.mark.parametrize("name", NAMES)
def test_dashboards_lead_to_one_another_and_say_what_changed_when(name: str) -> None:
    document = documents()[name]
    (link,) = document["links"]
    assert (link["type"], link["tags"]) == ("dashboards", ["breakeven"])
    assert all("breakeven" in other["tags"] for other in documents().values())
    found = {one["name"]: one for one in document["annotations"]["list"]}
    assert set(found) == {"Operator changes", "Gateway changes", "Config reloads", "Rejected configs"}
    for one in found.values():
        assert one["enable"]
        assert one["datasource"]["uid"] == "${datasource}"
        # A moment, and not all time since then: by its own value, or by what was before the step.
        assert one["useValueForTime"] or "offset $__interval" in one["expr"]


def test_latencies_show_exemplars() -> None:
    timed = [
        panel
        for panel in panels.panels_of(documents()["operations"])
        if panel["type"] == "timeseries" and any("_seconds_bucket" in target["expr"] for target in panel["targets"])
    ]
    of_gateway = [panel for panel in timed if "vLLM" not in panel["title"]]
    assert len(of_gateway) == 3
    assert all(target["exemplar"] for panel in of_gateway for target in panel["targets"])


def test_queries_use_existing_metrics() -> None:
    known = set(re.findall(r"`(breakeven_\w+)`", pages()["metrics.md"]))
    for query in (*panels.queries(), *panels.annotation_queries()):
        for name in re.findall(r"\bbreakeven_\w+", query.expression):
            assert re.sub(r"_bucket$", "", name) in known, query


def traffic(gateway: Gateway, seconds: float) -> None:
    """Send routed, pinned and invalid requests for `seconds`."""
    end = time.monotonic() + seconds

    def ask(worker: int) -> None:
        with httpx2.Client(timeout=20.0) as client:
            for number in range(100_000):
                if time.monotonic() > end:
                    return
                model = ("auto", "auto@0", "auto@1", "teacher", "auto@1", "nobody")[(worker + number) % 6]
                body = {"model": model, "messages": [{"role": "user", "content": QUESTIONS[number % 8]}]}
                with contextlib.suppress(httpx2.HTTPError):
                    client.post(f"{gateway.base_url}/chat/completions", json=body)
                time.sleep(0.1)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(ask, range(3)))


def wait_for_scrape(url: str, sample: str) -> float:
    """Wait until a sample has been scraped, at most 20 s; returns the current time."""
    deadline = time.monotonic() + 20
    while not panels.ask(url, sample, time.time() - 5, time.time()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return time.time()


def answered(url: str, query: panels.Query, begin: float, end: float) -> panels.Series:
    """The answer to a query; for one that looks back a day, as if it looked back five seconds."""
    expression = query.filled(INTERVAL).replace("offset 1d", f"offset {INTERVAL}")
    return panels.ask(url, expression, begin, end)


def from_gateway(query: panels.Query) -> bool:
    """Whether a gateway whose operator says what routes has data for it, without a candidate, failures, and a limit of
    the novelty.
    """
    without = ("vllm:", "floor_margin", "breakeven_candidate", "upstream_failures", "novelty_threshold")
    return not any(name in query.expression for name in without)


def test_every_query_has_plausible_data_under_traffic(tmp_path: Path) -> None:
    rows = [
        {"prompt": q, "answer": "It is some number.", "prompt_tokens": 400, "cached_tokens": 128, "output_tokens": 5}
        for q in QUESTIONS
    ]
    folder = tmp_path / "gateway"
    folder.mkdir()
    with (
        processes.replay(tmp_path, "student", rows) as student,
        processes.replay(tmp_path, "teacher-model", rows) as teacher,
        MetricsServer() as replica,
        # Savings are measured first, and reach the investment later, while Prometheus is scraping.
        processes.gateway(
            folder,
            processes.make_config(
                student,
                teacher,
                student={"hosting_observed": {"vllm_metrics": [replica.url], "interval_seconds": 1}},
                economics={"investment_usd": str(INVESTMENT)},
                road={"sample": 0.6, "scorer": "exact", "concurrency": 8},
            ),
        ) as gateway,
        prometheus(tmp_path, breakeven=f"127.0.0.1:{gateway.port}") as url,
    ):
        begin = wait_for_scrape(url, "breakeven_savings_upper_bound_usd")
        time.sleep(2.5)
        empty = {query: panels.ask(url, query.filled(INTERVAL), begin, time.time()) for query in panels.queries()}
        traffic(gateway, 12.0)
        gateway.stop()
        gateway.start()
        traffic(gateway, 8.0)
        paid_back = time.monotonic() + 60
        while not panels.ask(url, "breakeven_payback_ratio >= 1", time.time() - 2, time.time()):
            assert time.monotonic() < paid_back
            traffic(gateway, 2.0)
        time.sleep(2.0)
        # One time for all of them, since hosting costs more with every second.
        end = time.time()
        found = {query: answered(url, query, begin, end) for query in panels.queries()}
    for query, series in empty.items():
        if query.legend in ("at most, not measured", "not measured yet; at most"):
            ((_, points),) = series
            assert all(value < 0 for _, value in points), "a system without traffic only has hosting"
        if query.legend == "savings" or (query.panel.startswith("Savings to date, ") and "yet" not in query.legend):
            assert not series
    without = [
        (query.dashboard, query.panel, query.legend) for query in found if from_gateway(query) and not found[query]
    ]
    assert without == []
    for query, series in found.items():
        # A restart must not look like spending; only savings may be negative.
        if not re.search("[Ss]av(ings|ed)", query.panel) and query.panel != "Paid back":
            assert all(value >= 0 for _, points in series for _, value in points), query
    spend = [query for query in found if query.panel == "Spend per hour, measured"]
    assert all(value < 1000 for query in spend for _, points in found[query] for _, value in points)
    ends = {query.legend: found[query][0][1][-1][1] for query in found if query.panel == "Savings and investment"}
    assert ends["lower"] <= ends["savings"] <= ends["upper"]
    (dot,) = (query for query in found if query.legend == "break-even" and query.panel.startswith("Savings"))
    ((_, crossing),) = found[dot]
    assert all(value >= INVESTMENT for _, value in crossing)
    assert len(crossing) <= 8, "break-even is drawn as a point, not as a line"


def test_the_workload_panels_have_data_from_a_gateway_that_watches(tmp_path: Path) -> None:
    """What was watched is entered; the stages, the margin and their metrics are the gateway's own."""
    config = {
        "routing": {"threshold": None},
        "road": {"sample": 0.02, "scorer": "exact", "floor": 0.95, "advance": "auto"},
        "ledger": {"store_prompts": True},
        "workloads": ["coding"],
    }
    folder = tmp_path / "gateway"
    folder.mkdir()
    with running(folder, config, environment={"BREAKEVEN_ADMIN_KEY": "admin"}) as gateway:

        def reached(stage: str) -> dict[str, Any]:
            def at() -> dict[str, Any] | None:
                found = gateway.get("/admin/road", {"authorization": "Bearer admin"}).json["workloads"]
                return next((dict(one) for one in found if one["stage"] == stage), None)

            # Training has a low priority: a busy machine takes its time.
            return dict(eventually(at, seconds=180.0))

        enter(folder, 320)
        live = reached("route")["in_force"]
        enter(folder, 50, artifact=live["artifact"], direction="student_answered", seed=5)
        margin = reached("watch")["margin"]
        with prometheus(tmp_path, breakeven=f"127.0.0.1:{gateway.port}") as url:
            begin = wait_for_scrape(url, 'breakeven_floor_margin{workload="default"}')
            time.sleep(2.0)
            asked = {query.panel: query for query in panels.queries() if "{{workload}}" in query.legend}
            end = time.time()
            found = {
                panel: {labels["workload"]: points[-1][1] for labels, points in answered(url, query, begin, end)}
                for panel, query in asked.items()
            }
    # The place of the stage in the mapping of the panel: watch and observe.
    assert found["Stage"] == {"default": 3.0, "coding": 0.0}
    # Of a workload whose requests all go to the teacher there is no threshold.
    assert found["Score and threshold"] == {"default": pytest.approx(live["threshold"], abs=1e-9)}
    assert found["Margin over the floor"] == {"default": pytest.approx(margin, abs=1e-9)}


def test_annotations_mark_what_operators_changed_and_configs_that_were_rejected(tmp_path: Path) -> None:
    """At stage observe there is no threshold, and after it was removed there is none: both are marked all the same."""
    admin = {"authorization": "Bearer admin"}
    asked = {query.panel: query for query in panels.annotation_queries() if query.dashboard == "money"}
    config = processes.make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1", routing={"threshold": None})
    with (
        processes.gateway(tmp_path, config, {"BREAKEVEN_ADMIN_KEY": "admin"}) as gateway,
        prometheus(tmp_path, breakeven=f"127.0.0.1:{gateway.port}") as url,
    ):
        begin = wait_for_scrape(url, "breakeven_config_last_reload_successful == 1")

        def drawn(name: str) -> panels.Series:
            """What Grafana draws: at the time that the value is, or where it is above 0."""
            found = panels.ask(url, asked[name].filled("1s"), begin, time.time())
            return [(labels, points) for labels, points in found if any(value > 0 for _, value in points)]

        assert drawn("Operator changes") == drawn("Rejected configs") == []
        for method, body in (("PUT", {"threshold": 0.4}), ("DELETE", None)):
            changed = httpx2.request(method, f"{gateway.url}/admin/policy", json=body, headers=admin, timeout=30.0)
            assert changed.status_code == 200
            at = httpx2.get(f"{gateway.url}/admin/changes", headers=admin, timeout=30.0).json()["changes"][0]["at"]

            def marked(at: int = at) -> panels.Series | None:
                found = drawn("Operator changes")
                return found if found and found[0][1][-1][1] == pytest.approx(at / 1000, abs=1.0) else None

            ((labels, _),) = eventually(marked, seconds=60.0)
            assert labels == {"workload": "(all)", "stage": "policy", "who": "api"}
        gateway.config.write_text("student: nothing")
        assert eventually(lambda: drawn("Rejected configs"), seconds=60.0)


def test_the_vllm_panels_have_data_from_a_real_vllm(vllm: Vllm, tmp_path: Path) -> None:
    target = vllm.base_url.removeprefix("http://").removesuffix("/v1")
    with prometheus(tmp_path, vllm=target) as url:
        begin = wait_for_scrape(url, "up")
        with httpx2.Client(base_url=vllm.base_url, timeout=120.0) as client:
            for number in range(6):
                content = f"Tell a short story about the number {number}. " * 8
                body = {"model": "student", "messages": [{"role": "user", "content": content}], "max_tokens": 12}
                assert client.post("/chat/completions", json=body).status_code == 200
                time.sleep(0.7)
        time.sleep(1.5)
        asked = [query for query in panels.queries() if "vllm:" in query.expression]
        without = [
            (query.panel, query.legend)
            for query in asked
            if not panels.ask(url, query.filled("10s"), begin, time.time())
        ]
    assert len(asked) >= 9
    assert without == []
