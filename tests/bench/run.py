"""The benchmark: measures all arms in one run on one machine, in interleaved rounds, as a table, JSON and a plot.

`python -m tests.bench.run --out docs/benchmarks [--seconds 5] [--rounds 3] [--only direct,Breakeven]`
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import uvloop

from tests.bench import load, paced
from tests.bench.arms import KEY, Arm, available, await_port, breakeven, free_port, others_paused, started
from tests.bench.report import write
from tests.bench.upstream import PACED_MAX_TOKENS

_TEXT = "Please explain in plain words how the settlement of this invoice is meant to work for a new customer. "
Body = dict[str, object]
# Requests a second: of low load, at which a process sleeps between any two, and at most where latency is measured.
_LOW, _MOST_PACED = 50.0, 4000.0


@dataclass(frozen=True)
class Workload:
    """A kind of request to measure."""

    name: str
    body: Body
    connections: int = 32
    streamed: bool = False


def workloads(streams: int) -> list[Workload]:
    """The workloads, under the names that the docs use; `streams` is the number of concurrent streams."""

    def chat(content: object, **more: object) -> Body:
        system = {"role": "system", "content": "You are a helpful assistant."}
        return {"model": "auto", "messages": [system, {"role": "user", "content": content}], **more}

    turns = [{"role": ("user", "assistant")[number % 2], "content": f"{number}: " + _TEXT * 10} for number in range(31)]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * (4 << 20)}}
    question = _TEXT * 10
    return [
        Workload("200-token JSON", chat(question)),
        Workload("200 events", chat(question, stream=True), streamed=True),
        Workload("32 kB conversation", {"model": "auto", "messages": turns}),
        Workload("4 MB image", chat([{"type": "text", "text": "What is this?"}, image]), connections=4),
        Workload(
            f"{streams} streams at 20 tokens/s",
            chat(question, stream=True, max_tokens=PACED_MAX_TOKENS),
            connections=streams,
            streamed=True,
        ),
    ]


def measure(arm: Arm, workload: Workload, seconds: float) -> dict[str, float]:
    """One run of a workload at full load: rates, and the CPU time of the arm's process tree."""
    before = arm.cpu_seconds()
    data = request(arm, workload)
    if not workload.streamed and shutil.which("wrk"):
        figures = _wrk(arm, workload, seconds)
    else:
        result = uvloop.run(load.closed(arm.port, data, connections=workload.connections, seconds=seconds))
        figures = {
            "requests": result.requests,
            "requests_per_second": result.requests / result.seconds,
            "events": result.events,
            "events_per_second": result.events / result.seconds,
            "failures": result.failures,
            "longest_gap_ms": 1000 * paced.quantile(result.gaps, 0.99) if result.gaps else 0.0,
        }
    cpu = arm.cpu_seconds() - before
    if figures["requests"]:
        figures["cpu_us_per_request"] = 1e6 * cpu / figures["requests"]
    if figures.get("events"):
        figures["cpu_us_per_event"] = 1e6 * cpu / figures["events"]
    figures["memory_mb"] = arm.memory_bytes() / 1e6
    return figures


def request(arm: Arm, workload: Workload) -> bytes:
    """The HTTP request of a workload, as bytes, as this arm's client sends it."""
    return load.request("/v1/chat/completions", workload.body, KEY, arm.headers)


def _wrk(arm: Arm, workload: Workload, seconds: float) -> dict[str, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script, tempfile.NamedTemporaryFile("w") as body:
        body.write(json.dumps(workload.body, separators=(",", ":")))
        body.flush()
        headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}", **arm.headers}
        lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
        script.write(f'wrk.method = "POST"\nwrk.body = io.open("{body.name}"):read("*a")\n' + "\n".join(lines))
        script.flush()
        url = f"http://127.0.0.1:{arm.port}/v1/chat/completions"
        command = ["wrk", "-t1", f"-c{workload.connections}", f"-d{max(1, round(seconds))}s", "-s", script.name, url]
        said = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec: *([\d.]+)", said)[1])  # type: ignore[index]
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return {"requests": requests, "requests_per_second": rate, "failures": int(wrong[1]) if wrong else 0}


def bench(folder: Path, seconds: float, rounds: int, only: set[str] | None, streams: int) -> dict[str, object]:
    """Measure all arms on all workloads (or `only` some): the medians over the rounds, as a dict for JSON."""
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = (cores[:1], cores[1:]) if len(cores) > 1 else (None, None)
    port = free_port()
    upstream = subprocess.Popen([sys.executable, "-m", "tests.bench.upstream", "--port", str(port)])
    if theirs:
        psutil.Process(upstream.pid).cpu_affinity(theirs)
        psutil.Process().cpu_affinity(theirs)
    try:
        await_port(port)
        arms, missing = available(port, folder)
        arms = [arm for arm in arms if only is None or arm.name in only]
        with contextlib.ExitStack() as stack:
            for arm in arms:
                stack.enter_context(started(arm, folder, ours))
            table = _rounds(arms, workloads(streams), seconds, rounds)
            kind = workloads(streams)[0]
            half = {arm.name: min(_MOST_PACED, table[arm.name][kind.name]["requests_per_second"] / 2) for arm in arms}
            data = {arm.name: request(arm, kind) for arm in arms}
            slow, speeds = paced.measure(arms, data, [dict.fromkeys(half, _LOW), half], seconds, max(3, rounds))
        both = _workers(port, folder, workloads(streams)[0], seconds, rounds)
    finally:
        upstream.terminate()
        upstream.wait()
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}",
        "gateway_cores": ours,
        "seconds": seconds,
        "rounds": rounds,
        "missing": missing,
        "workers": both,
        "arms": {
            arm.name: {
                "version": arm.version,
                "does": arm.does,
                "start_seconds": arm.start_seconds,
                "rest_mb": arm.rest_bytes / 1e6,
                "workloads": table[arm.name],
                "low": slow[arm.name],
                "latency": speeds[arm.name],
            }
            for arm in arms
        },
    }


def _rounds(
    arms: list[Arm], kinds: list[Workload], seconds: float, rounds: int
) -> dict[str, dict[str, dict[str, float]]]:
    runs: dict[str, dict[str, list[dict[str, float]]]] = {arm.name: {k.name: [] for k in kinds} for arm in arms}
    for arm in arms:
        with others_paused(arm, arms):
            measure(arm, kinds[0], 1.0)  # warm
    for _ in range(rounds):
        for kind in kinds:
            for arm in arms:
                with others_paused(arm, arms):
                    runs[arm.name][kind.name].append(measure(arm, kind, seconds))
    return {name: {kind: paced.median(of) for kind, of in by.items()} for name, by in runs.items()}


def _workers(port: int, folder: Path, kind: Workload, seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """Alternate between one worker, two workers, and two independent gateways, without pinning cores."""
    found: dict[str, list[dict[str, float]]] = {"1": [], "2": [], "1 + 1": []}
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:

        def start(name: str, count: int) -> Arm:
            arm = breakeven(port, folder, name=f"workers-{name}", workers=count)
            stack.enter_context(started(arm, folder, None))
            _all_up(arm, count)
            return arm

        one = start("1", 1)
        arms = {"1": [one], "2": [start("2", 2)], "1 + 1": [one, start("other", 1)]}
        used_by: dict[str, list[float]] = {"1": [], "2": []}
        for _ in range(rounds + 1):  # the first is to warm up
            for name, of in arms.items():
                before = [used for arm in of for used in arm.cpu_by_process()]
                half = replace(kind, connections=kind.connections // len(of))
                runs = list(pool.map(lambda arm, half=half: measure(arm, half, seconds), of))
                after = [used for arm in of for used in arm.cpu_by_process()]
                used = [now - was for now, was in zip(after, before, strict=True)]
                requests = sum(run["requests"] for run in runs)
                found[name].append(
                    {
                        "requests_per_second": sum(run["requests_per_second"] for run in runs),
                        "cpu_us_per_request": 1e6 * sum(used) / requests,
                        "failures": sum(run["failures"] for run in runs),
                        "busiest_share": max(used) / sum(used),
                    }
                )
        # At rates that leave the cores partly idle, since the load and the upstream run on them too, and with the same
        # rate per worker: at lower rates a request costs more CPU, whatever the number of workers.
        each = found["1"][-1]["requests_per_second"] / 8
        for _ in range(max(5, rounds)):
            for name, used_for in used_by.items():
                (arm,) = arms[name]
                cpu = arm.cpu_seconds()
                rate = each * int(name)
                done = uvloop.run(load.fixed(arm.port, request(arm, kind), rate=rate, seconds=seconds))
                used_for.append(1e6 * (arm.cpu_seconds() - cpu) / done.requests)
    medians = {name: paced.median(runs[1:]) for name, runs in found.items()}
    for name, used_for in used_by.items():
        medians[name] |= {"paced_rate": each * int(name), "paced_cpu_us_per_request": statistics.median(used_for)}
    return medians


def _all_up(arm: Arm, workers: int) -> None:
    """Wait until each worker has used the CPU time of a start, so that none is still starting when it is measured."""
    before = -1.0
    processes = 1 if workers == 1 else workers + 1
    while len(arm.cpu_by_process()) < processes or arm.cpu_seconds() - before > 0.1:
        before = arm.cpu_seconds()
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    only = set(given.only.split(",")) if given.only else None
    with tempfile.TemporaryDirectory() as name:
        figures = bench(Path(name), given.seconds, given.rounds, only, given.streams)
    command = f"python -m tests.bench.run --out {given.out} --seconds {given.seconds:g} --rounds {given.rounds}"
    write(figures, given.out, command)
    print((given.out / "bench.md").read_text())


if __name__ == "__main__":
    main()
