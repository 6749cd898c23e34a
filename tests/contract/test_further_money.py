"""What further models cost: in the ledger, the report and the metrics, to the cent; and what keys may do with them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Response, eventually
from tests.contract.further import ADMIN, form, key, model, models_of, with_models
from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import Head, ScriptedUpstream, Send, Sleep, answer, error_answer
from tests.support.processes import CHECKOUT

EMBEDDED = {"object": "list", "data": [], "usage": {"prompt_tokens": 1_000_000, "total_tokens": 1_000_000}}
DRAWN = {"created": 1, "data": []}


def embed(gateway: Gateway, upstream: ScriptedUpstream, headers: dict[str, str] | None = None) -> Response:
    upstream.script(*answer(EMBEDDED))
    return gateway.post({"model": "embed", "input": "a"}, headers, path="/v1/embeddings")


def draw(gateway: Gateway, upstream: ScriptedUpstream) -> Response:
    upstream.script(*answer(DRAWN))
    return gateway.post({"model": "draws", "prompt": "a"}, path="/v1/images/generations")


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Three embeddings at 0.02 USD, two images at 0.04 USD, a transcription without usage, a pinned request, and a
    routed one of each upstream.
    """
    with with_models(tmp_path_factory.mktemp("money")) as (gateway, upstream):
        for _ in range(3):
            assert embed(gateway, upstream).status == 200
        for _ in range(2):
            assert draw(gateway, upstream).status == 200
        upstream.script(*answer({"text": "hi"}))
        sent, headers = form(("model", b"hears"), ("file", b"\0" * 1000))
        assert gateway.post(sent, headers, path="/v1/audio/transcriptions").status == 200
        upstream.script(*error_answer(500))
        assert gateway.post({"model": "draws", "prompt": "a"}, path="/v1/images/generations").status == 500
        for name in ("teacher", "auto", "auto@0"):
            assert gateway.post(chat(model=name)).status == 200
        yield gateway


def test_the_ledger_has_each_call_with_the_models_name(spent: Gateway) -> None:
    rows = spent.rows(
        "SELECT provider, count(*), sum(prompt_tokens), sum(cost_input), sum(cost_tools), sum(usage_missing), "
        "sum(pinned), sum(baseline), sum(threshold IS NULL) FROM attempts JOIN requests ON request = id "
        "WHERE upstream = 'model' AND route = 'model' AND reason = 'pinned' GROUP BY provider ORDER BY provider"
    )
    assert rows == [
        ("draws", 3, 0, 0, 80_000_000_000, 0, 3, 0, 3),
        ("embed", 3, 3_000_000, 60_000_000_000, 0, 0, 3, 0, 3),
        ("hears", 1, 0, 0, 3_000_000_000, 1, 1, 0, 1),
    ]
    hourly = spent.rows("SELECT provider, requests, cost_tools FROM hourly WHERE upstream = 'model' ORDER BY provider")
    assert [row[0] for row in hourly] == ["draws", "embed", "hears"]


def test_the_report_has_a_figure_of_its_own(spent: Gateway) -> None:
    spent.rows("SELECT 1")
    report = spent.get("/admin/report", ADMIN).json
    assert Decimal(report["models_spend_usd"]) == Decimal("0.143")
    shown = {one["model"]: one for one in report["models"]}
    assert list(shown) == ["draws", "embed", "hears"]
    assert (shown["draws"]["requests"], Decimal(shown["draws"]["cost_usd"]["tools"])) == (3, Decimal("0.08"))
    assert (shown["embed"]["tokens"]["input"], Decimal(shown["embed"]["cost_usd"]["input"])) == (
        3_000_000,
        Decimal("0.06"),
    )
    assert shown["hears"]["usage_missing"] == 1
    # A recording of 1000 bytes is no prompt of 250 tokens.
    assert shown["hears"]["estimated"]["input_tokens"] == 0
    assert report["upstreams"]["model"]["requests"] == 7
    # Each answer of the scripted teacher has 10 and 3 tokens, at 10 and 20 USD per million.
    one = Decimal("0.00016")
    assert Decimal(report["teacher_spend_usd"]) == Decimal(report["pinned_spend_usd"]) == one
    assert Decimal(report["baseline_upper_bound_usd"]) == 2 * one
    assert Decimal(report["savings_upper_bound_usd"]) == one
    assert sum(Decimal(part["teacher_spend_usd"]) for part in report["by_key"]) == one


def test_the_printed_report_has_it(spent: Gateway) -> None:
    command = [sys.executable, "-P", "-m", "breakeven.gateway.cli", "report", "--config", str(spent.path)]
    environment = {**spent.environment, "PYTHONPATH": CHECKOUT, "COLUMNS": "200"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert ran.returncode == 0, ran.stderr
    lines = [line.replace("│", " ").split() for line in ran.stdout.splitlines()]
    assert ["further", "models,", "not", "included", "$0.14"] in lines, ran.stdout
    (embedded,) = (line for line in lines if line[:1] == ["embed"])
    assert (embedded[1], embedded[3], embedded[-1]) == ("3", "3,000,000", "$0.06")
    ran = subprocess.run([*command, "--by", "upstream,provider"], capture_output=True, text=True, env=environment)
    assert "draws" in ran.stdout


def test_metrics_have_its_name(spent: Gateway) -> None:
    metric = spent.metric
    assert metric("cost_usd_total", upstream="embed", kind="input") == 0.06
    assert metric("cost_usd_total", upstream="draws", kind="tools") == 0.08
    assert metric("tokens_total", upstream="embed", kind="input") == 3_000_000
    assert metric("cost_usd_total", upstream="teacher") == pytest.approx(0.00032)
    assert metric("attempts_total", upstream="draws", outcome="ok") == 2
    assert metric("attempts_total", upstream="speaks", outcome="ok") == 0
    assert metric("usage_missing_total", upstream="hears") == 1
    assert metric("usage_missing_total", upstream="draws") == 0
    assert metric("requests_total", route="model", endpoint="images", reason="pinned", outcome="ok") == 2
    assert metric("request_seconds_count", route="model") == 7
    assert metric("first_event_seconds_count", upstream="embed") == 3
    assert 'breakeven_in_flight{upstream="org/other-7b"}' in spent.metrics()
    assert metric("baseline_usd_total") == pytest.approx(0.00032)


def test_feedback_is_about_answers_that_were_routed(spent: Gateway) -> None:
    record = next(one for one in spent.settled() if one["route"] == "model")
    response = spent.post({"request_id": record["request_id"], "score": 1}, path="/v1/feedback")
    assert response.status == 404


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer secret-{name}"}


KEYS: dict[str, Any] = {
    "auth": {
        "keys": [
            key("free", workload="search"),
            key("listed", models=["ranks", "auto"]),
            key("routed", may_pin=False, teacher=False),
            key("poor", monthly_budget_usd=0.05),
            key("saves", monthly_budget_usd=0.01, over_budget="student"),
            key("slow", requests_per_minute=1),
        ]
    }
}


def test_keys_hold_for_them(tmp_path: Path) -> None:
    with with_models(tmp_path, KEYS) as (gateway, upstream):
        wrong = embed(gateway, upstream, bearer("nobody"))
        assert (wrong.status, wrong.json["error"]["code"]) == (401, "invalid_api_key")
        upstream.clear()
        response = embed(gateway, upstream, bearer("free"))
        assert (response.status, response.headers["x-breakeven-workload"]) == (200, "search")
        assert gateway.record(response)["workload"] == "search"
        upstream.clear()
        refused = embed(gateway, upstream, bearer("listed"))
        assert (refused.status, refused.json["error"]["code"]) == (403, "model_not_allowed")
        listed = gateway.get("/v1/models", bearer("listed")).json["data"]
        assert [one["id"] for one in listed] == ["auto", "ranks"]
        upstream.clear()
        # It is no choice between student and teacher.
        assert embed(gateway, upstream, bearer("routed")).status == 200
        for name, allowed in (("poor", 3), ("saves", 1)):
            for _ in range(allowed):
                assert embed(gateway, upstream, bearer(name)).status == 200
            over = embed(gateway, upstream, bearer(name))
            assert (over.status, over.json["error"]["code"]) == (429, "insufficient_quota")
            upstream.clear()
        assert gateway.post(chat(), bearer("saves")).headers["x-breakeven-route"] == "student"
        assert embed(gateway, upstream, bearer("slow")).status == 200
        limited = embed(gateway, upstream, bearer("slow"))
        assert (limited.status, limited.json["error"]["code"]) == (429, "rate_limit_exceeded")


def test_a_reload_brings_and_removes_them(tmp_path: Path) -> None:
    with with_models(tmp_path) as (gateway, upstream):
        upstream.script(Head(200, {"content-type": "audio/mpeg"}), Send(b"a"), Sleep(0.9), Send(b"b"), *answer({})[:0])
        with gateway.connect() as client:
            client.request("POST", "/v1/audio/speech", b'{"model":"speaks","input":"a"}').head()
            left = [one for one in models_of(upstream) if one["name"] != "speaks"]
            gateway.write_config({"models": [*left, model(upstream, "sorts", paths=["/sort"])]})
            upstream.on("order", *answer({"sorted": []}))
            eventually(lambda: gateway.post({"model": "sorts", "order": 1}, path="/v1/sort").status == 200)
            gone = gateway.post({"model": "speaks", "input": "a"}, path="/v1/audio/speech")
            assert (gone.status, gone.json["error"]["code"]) == (404, "not_found")
            paths = gateway.get("/openapi.json").json["paths"]
            assert ("/v1/sort" in paths, "/v1/audio/speech" in paths) == (True, False)
            # A request that runs keeps its upstream.
            assert eventually(lambda: client._buffer + client.socket.recv(99)).endswith(b"b\r\n")
        names = {one["provider"] for one in gateway.get("/admin/upstreams", ADMIN).json["upstreams"]}
        assert ("sorts" in names, "speaks" in names) == (True, False)
        assert 'breakeven_in_flight{upstream="speaks"}' not in gateway.metrics()
        gateway.write_config({"models": [{"name": "auto", "base_url": upstream.url}]})
        eventually(lambda: gateway.get("/readyz").json["config"] != "in force")
        assert gateway.post({"model": "sorts", "order": 1}, path="/v1/sort").status == 200


def test_workers_share_them(tmp_path: Path) -> None:
    with with_models(tmp_path, {"server": {"workers": 2}}) as (gateway, upstream):
        for _ in range(6):
            assert embed(gateway, upstream).status == 200
        assert eventually(lambda: gateway.metric("attempts_total", upstream="embed", outcome="ok") == 6)
        assert eventually(lambda: 'breakeven_circuit_open{upstream="draws"}' in gateway.metrics())


def test_the_start_says_whether_they_were_reached(tmp_path: Path) -> None:
    with with_models(tmp_path) as (gateway, _):
        lines = eventually(lambda: [m for m in started(gateway) if "not set" in m] and started(gateway))
        assert any(one.startswith("model embed at http://") and one.endswith("it serves embed-v3") for one in lines)
        assert any(
            one.startswith("model ranks at") and "does not list ranks; correct models[ranks].model" in one
            for one in lines
        )


def started(gateway: Gateway) -> list[str]:
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
    return [one["message"] for one in lines if one["logger"] == "breakeven.start"]


def test_check_live_asks_them_too(tmp_path: Path) -> None:
    with with_models(tmp_path) as (gateway, upstream):
        upstream.on('"input"', *answer(EMBEDDED))
        upstream.on('"query"', *error_answer(404, "the model `ranks` does not exist"))
        upstream.on('"messages"', *error_answer(401))
        command = [sys.executable, "-P", "-m", "breakeven.gateway.cli", "check", "--live"]
        command += ["--config", str(gateway.path)]
        ran = subprocess.run(command, capture_output=True, text=True, env=gateway.environment, timeout=60)
        lines = ran.stdout.splitlines()
        assert ran.returncode == 1
        assert any(one.startswith("ok    model embed: embed-v3 answers at /embeddings in 0.") for one in lines), lines
        assert "FAIL  model ranks: it does not serve ranks; correct model: it serves embed-v3" in lines
        refused = "FAIL  model chats: it refuses the key (status 401); check the variable T_MODEL_KEY"
        assert any(one.startswith(refused) for one in lines)
        assert "FAIL  model draws: it does not serve draws; correct model: it serves embed-v3" in lines
        # Each by its own path only, and not as an upstream of chats.
        assert not [one for one in lines if one.split()[1] in ("embed:", "ranks:", "chats:")]
        asked = "/audio/transcriptions, /audio/translations"
        assert f"note  model hears: not asked: a request to {asked} needs a file, or is expensive" in lines
