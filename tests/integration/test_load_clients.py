"""The load generators that people measure with, before a live gateway and a real vLLM.

Half of the prompts are easy and half are difficult, and what the program measured is what the ledger has.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.client_reference import CLIENTS
from tests.integration.clients import drivers
from tests.integration.clients.driving import EASY, HARD
from tests.integration.test_clients import THRESHOLD
from tests.support import processes, real

REQUESTS = 8
# A busy machine is slow, and what is measured here is no time.
PATIENT = {"first_event_seconds": 300, "idle_seconds": 300, "total_seconds": 600}
_SECONDS = 600.0
Row = tuple[str, str, int, int]


@pytest.fixture(scope="module")
def gateway(vllm: real.Vllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    """A gateway whose student and teacher are the same vLLM."""
    upstream = {"timeouts": PATIENT}
    routing = {"threshold": THRESHOLD, "novelty_threshold": 1.0}
    config = processes.make_config(vllm.base_url, vllm.base_url, student=upstream, teacher=upstream, routing=routing)
    with processes.gateway(tmp_path_factory.mktemp("gateway"), config) as running:
        yield running


@pytest.fixture
def run(gateway: processes.Gateway, tmp_path: Path) -> Callable[..., list[Row]]:
    """`run(snippet, …)`: run a command of the documentation, with more options, or with `more[0]` in it replaced by
    `more[1]`; what the ledger then has of it.
    """

    def ask(snippet: str, *options: str, more: tuple[str, str] = ("", "")) -> list[Row]:
        before = len(settled(gateway))
        lines = [json.dumps({"prompt": prompt}) + "\n" for prompt in (EASY, HARD) * (REQUESTS // 2)]
        (tmp_path / "prompts.jsonl").write_text("".join(lines))
        # The environment of guidellm has vLLM as well, with what `vllm bench` reads data with.
        python = real.client_python("guidellm")
        text = drivers.snippet(snippet, gateway.url)
        script = f'vllm() {{ "{python}" -m vllm.entrypoints.cli.main "$@"; }}\n{text.replace(*more)}'
        environment = {
            **drivers.hermetic(tmp_path), "MODEL_FOLDER": str(real.smollm2()),
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        command = ["bash", "-euc", f"{script.rstrip()} {' '.join(options)}"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return settled(gateway)[before:]

    return ask


def settled(gateway: processes.Gateway) -> list[Row]:
    """Route, reason, prompt tokens and output tokens of all whole answers that were streamed with their usage."""
    gateway.metrics()
    return gateway.sql(
        "SELECT route, reason, prompt_tokens, output_tokens FROM requests r JOIN attempts ON request = id "
        "WHERE stream AND usage_complete AND r.outcome = 'ok' ORDER BY id"
    )


def routes(rows: list[Row]) -> list[tuple[Any, ...]]:
    return sorted(row[:2] for row in rows)


HALVES = [("student", "easy")] * (REQUESTS // 2) + [("teacher", "difficult")] * (REQUESTS // 2)


def test_vllm_bench_serve(run: Callable[..., list[Row]], tmp_path: Path) -> None:
    rows = run("vllm_bench.sh", "--save-result", "--result-filename", str(tmp_path / "result.json"))
    assert routes(rows) == HALVES
    measured = json.loads((tmp_path / "result.json").read_text())
    assert (measured["completed"], measured["failed"]) == (REQUESTS, 0)
    assert measured["total_output_tokens"] == sum(row[3] for row in rows) == 8 * REQUESTS
    assert measured["mean_ttft_ms"] > 0


@pytest.mark.parametrize("endpoint", ["/v1/chat/completions", "/v1/responses"])
def test_guidellm(run: Callable[..., list[Row]], tmp_path: Path, endpoint: str) -> None:
    chosen = ("max_tokens=8", f"max_tokens=8,request_format={endpoint}")
    rows = run("guidellm.sh", "--output", f"kind=json,path={tmp_path}/result.json", "--disable-console", more=chosen)
    assert routes(rows) == HALVES
    (benchmark,) = json.loads((tmp_path / "result.json").read_text())["benchmarks"]
    assert benchmark["metrics"]["request_totals"] == {"successful": REQUESTS, "errored": 0, "incomplete": 0, "total": 8}
    found = benchmark["requests"]["successful"]
    for place, kind in ((2, "input_metrics"), (3, "output_metrics")):
        assert sorted(row[place] for row in rows) == sorted(request[kind]["text_tokens"] for request in found)


def test_the_table_claims_what_is_tested_here() -> None:
    here = [client for client in CLIENTS if client.test.endswith("test_load_clients.py")]
    assert [client.checks for client in here] == [("stream", "routed", "tokens")] * 2
