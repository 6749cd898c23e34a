"""Measures client latencies with and without comparisons, and checks that all its calls are in the ledger.

`python -m tests.bench.comparisons --out docs/benchmarks/comparisons.md`: two gateways that differ in `road.sample`
alone, asked in turns at a fixed rate in one run. The teacher counts what it got.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.load import fixed, request
from tests.contract.gateway import Gateway, running
from tests.contract.scripted import answer, completion

# The cost of a scripted call: 10 prompt tokens at 10 USD and 3 output tokens at 20 USD per million, in picodollars.
_CALL = 160_000_000
_NEVER_FULL = {"max_queue": 100_000, "monthly_budget_usd": 1000, "concurrency": 4}


def settle(gateway: Gateway) -> dict[str, float]:
    """Wait until every sampled request has ended. Returns the counts by result."""

    def counts() -> dict[str, float]:
        prefix = "breakeven_comparisons_total{"
        return {name: value for name, value in gateway.metrics().items() if name.startswith(prefix)}

    last = counts()
    while True:
        time.sleep(1.0)
        now = counts()
        if now == last:
            return {name.split('result="')[1].split('"')[0]: value for name, value in now.items() if value}
        last = now


def measure(rate: float, share: float, seconds: float, rounds: int) -> dict[str, object]:
    """Run at `rate` requests per second and a sampled `share`. Returns the figures, with latencies in milliseconds."""
    latencies: dict[str, list[float]] = {"without": [], "with": []}
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in latencies:
            Path(folder, name).mkdir()
        verdict = json.dumps({"reason": "r", "score_a": 8, "score_b": 8, "winner": "tie"})
        with (
            running(Path(folder, "without"), {"road": {"sample": 0.0}}, log_level="warning") as without,
            running(Path(folder, "with"), {"road": {"sample": share, **_NEVER_FULL}}, log_level="warning") as shadowed,
        ):
            for gateway in (without, shadowed):
                gateway.teacher.default(*answer(completion("quite another answer")))
                gateway.teacher.on("[answer A", *answer(completion(verdict)))
            arms = {"without": without, "with": shadowed}
            for turn in range(rounds * 2):
                name = ("without", "with")[(turn + turn // 2) % 2]
                body = {"model": "auto", "messages": [{"role": "user", "content": f"Say something, turn {turn}."}]}
                data = request("/v1/chat/completions", body, None)
                found = asyncio.run(fixed(arms[name].port, data, rate=rate, seconds=seconds))
                latencies[name] += [1000 * value for value in found.latencies]
                failures += found.failures
            results = settle(shadowed)
            calls = len(shadowed.teacher.received)
            ledger = shadowed.rows(
                "SELECT count(*), coalesce(sum(cost_input + cost_cached_input + cost_output), 0) FROM attempts "
                "WHERE upstream = 'teacher'"
            )[0]
            pairs = shadowed.rows("SELECT count(*) FROM outcomes")[0][0]
    return {
        "latencies": {name: quantiles(values) for name, values in latencies.items()},
        "requests": {name: len(values) for name, values in latencies.items()},
        "failures": failures, "results": results, "teacher_calls": calls, "ledger_calls": ledger[0],
        "ledger_picodollars": ledger[1], "expected_picodollars": calls * _CALL, "pairs": pairs,
    }  # fmt: skip


def quantiles(values: list[float]) -> dict[str, float]:
    """The p50, p95 and p99 of the values."""
    cuts = statistics.quantiles(values, n=100)
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}


def page(found: dict[str, object], command: str) -> str:
    """The figures as Markdown."""
    both = found["latencies"]
    assert isinstance(both, dict)
    lines = [
        "# Comparisons under load", "",
        f"From one run of `{command}`: two gateways that differ in `road.sample` alone, in turns; latency counts from "
        f"when a request was due. Machine: {os.cpu_count()} cores, Python {platform.python_version()}, with the load "
        "and the upstreams beside it.", "",
        "| latency, ms | without | with | ratio |", "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {both['without'][name]:.2f} | {both['with'][name]:.2f} | "
            f"{both['with'][name] / both['without'][name]:.2f} |"
            for name in ("p50", "p95", "p99")
        ), "",
        "| what must hold | found |", "| --- | --- |",
        f"| requests that failed | {found['failures']} of {found['requests']} |",
        f"| teacher's calls: it counted, in the ledger | {found['teacher_calls']}, {found['ledger_calls']} |",
        f"| picodollars: counted, in the ledger | {found['expected_picodollars']}, {found['ledger_picodollars']} |",
        f"| drawn requests by result | {found['results']} |",
        f"| pairs in the ledger | {found['pairs']} |",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--share", type=float, default=0.1, help="road.sample")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = measure(given.rate, given.share, given.seconds, given.rounds)
    text = page(found, " ".join(["python -m tests.bench.comparisons", *sys.argv[1:]]))
    if given.out is None:
        print(text)
    else:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
