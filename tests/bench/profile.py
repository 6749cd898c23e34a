"""Profiles a request with py-spy: the share of each stage, and a flame graph.

`python -m tests.bench.profile --out docs/benchmarks [--seconds 8]` writes budget.md and flame.svg; needs `py-spy` and
the right to look into a process (root, or ptrace allowed).
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import uvloop

from tests.bench import load
from tests.bench.arms import Arm, await_port, breakeven, free_port, started
from tests.bench.run import Workload, request, workloads

# A sample belongs to the stage of its innermost frame that is listed here.
_STAGES = {
    "read": {
        "DirectClient._body",
        "Client.read_body",
        "Body.__init__",
        "admit",
        "client_key",
        "DirectClient.__init__",
    },
    "decide": {"_Routing.decide", "decision_for", "_student_only"},
    "forward": {
        "upstream_body",
        "upstream_headers",
        "Upstream.request",
        "Pool.take",
        "Connection.send",
        "Pool._released",
    },
    "relay": {
        "_read_whole",
        "StreamRelay.run",
        "StreamRelay._on_segment",
        "Connection.data_received",
        "DirectClient.finish",
    },
    "settle": {"settle", "Writer._run"},
    "the request's frame": {"Relay.serve", "_attempt", "RelayProtocol._relay"},
    "the server's protocol": {"HttpToolsProtocol.data_received", "RelayProtocol.connection_lost"},
}
_STAGE_OF = {name: stage for stage, names in _STAGES.items() for name in names}
_REST = "event loop and the rest"
# Waiting threads, some of which py-spy reports as busy.
_WAITING = ("Condition.wait", "wait (threading.py", "Event.wait (threading.py")


def stage(stack: str) -> str | None:
    """The stage of a stack (frames separated by `;`, outermost first); None for a waiting thread."""
    frames = stack.split(";")
    if frames[-1].startswith(_WAITING):
        return None
    for frame in reversed(frames):
        found = _STAGE_OF.get(frame.partition(" (")[0])
        if found is not None:
            return found
    return _REST


def budget(raw: str) -> dict[str, float]:
    """The share of each stage, in [0, 1], in py-spy's raw output."""
    samples: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        found = stage(stack)
        if found is not None:
            samples[found] += int(count)
    total = sum(samples.values()) or 1
    return {name: samples[name] / total for name in (*_STAGES, _REST)}


def _recorded(arm: Arm, workload: Workload, seconds: float, form: str, out: Path) -> float:
    """Profile an arm under load. Returns the CPU microseconds per request, or per event of a streamed workload."""
    assert arm.process is not None
    data = request(arm, workload)
    rest = 2.0 if workload.streamed else 0.5
    load_seconds = seconds + 2 * rest
    results: list[load.Result] = []
    before = arm.cpu_seconds()
    running = threading.Thread(
        target=lambda: results.append(
            uvloop.run(load.closed(arm.port, data, connections=workload.connections, seconds=load_seconds))
        )
    )
    running.start()
    time.sleep(rest)
    command = ["py-spy", "record", "--pid", str(arm.process.pid), "--duration", str(round(seconds)), "--rate", "250"]
    program = shutil.which("py-spy") or str(Path(sys.executable).with_name("py-spy"))
    command = [program, *command[1:], "--format", form, "--output", str(out), "--function"]
    subprocess.run(command, check=True, capture_output=True)
    # The title of the graph is the command; remove this machine's paths from it.
    out.write_text(out.read_text().replace(program, "py-spy"))
    running.join()
    used = arm.cpu_seconds() - before
    (result,) = results
    return 1e6 * used / (result.events if workload.streamed else result.requests)


def _rows(costs: list[float], shares: list[dict[str, float]]) -> list[str]:
    lines = ["| stage | JSON request, us | share | streamed event, us | share |", "| --- | ---: | ---: | ---: | ---: |"]
    for name in shares[0]:
        cells = " | ".join(f"{cost * of[name]:,.1f} | {of[name]:.0%}" for cost, of in zip(costs, shares, strict=True))
        lines.append(f"| {name} | {cells} |")
    lines.append(f"| together | {costs[0]:,.1f} | 100% | {costs[1]:,.1f} | 100% |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--streams", type=int, default=500)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    kinds = workloads(given.streams)
    port = free_port()
    upstream = subprocess.Popen([sys.executable, "-m", "tests.bench.upstream", "--port", str(port)])
    costs, shares = [], []
    try:
        await_port(port)
        with tempfile.TemporaryDirectory() as name, started(breakeven(port, Path(name)), Path(name), None) as arm:
            for kind in (kinds[0], kinds[-1]):
                raw = Path(name) / "stacks"
                costs.append(_recorded(arm, kind, given.seconds, "raw", raw))
                shares.append(budget(raw.read_text()))
            _recorded(arm, kinds[0], given.seconds, "flamegraph", given.out / "flame.svg")
    finally:
        upstream.terminate()
        upstream.wait(10)
    command = f"python -m tests.bench.profile --out {given.out} --seconds {given.seconds:g}"
    lines = [
        "# Where the time goes",
        "",
        f"From one run of `{command}`: CPU of the gateway's process, everything on, with",
        "32 connections that ask for the 200-token JSON answer, and with",
        f"{given.streams} streams at 20 events a second, the start and end of each stream among their events.",
        "The shares are those of py-spy's samples. py-spy slows the process down while it looks; bench.md has",
        "the costs without it. The flame graph, of the JSON requests, is flame.svg.",
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.",
        "",
        *_rows(costs, shares),
        "",
        "Read: the body, its JSON, the key, the checks. Decide: the router. Forward: the body for the upstream, a",
        "connection, the request on it. Relay: the answer as it comes, read for what accounting needs, and written.",
        "Settle: record, metrics, journal, log line, and the thread that brings records to the database.",
    ]
    (given.out / "budget.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
