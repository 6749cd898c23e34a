"""Counts what one request costs in instructions and cache misses, by valgrind's callgrind, beside another version.

`python -m tests.bench.instructions [--requests 300] [--out FILE]` prints a table; needs `valgrind`. Instructions are
about the same on a busy machine as on a quiet one, which times are not. BREAKEVEN_BENCH_BEFORE names the `breakeven`
program of another version. The process runs about 100 times slower than without, so that the ledger's batches hold few
records: this is the cost of a request at low load. CPU time at full load is measured by `tests.bench.run`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench import arms, load
from tests.bench.arms import Arm, await_port, breakeven, free_port, started
from tests.bench.run import Workload, request, workloads

# What is learned and cached by the first requests is not a request's cost.
_WARM = 100
_START_SECONDS = 600.0
_COUNTS = re.compile(r"^(?:totals|summary): (.+)$", re.MULTILINE)
_EVENTS = re.compile(r"^events: (.+)$", re.MULTILINE)


async def _ask(port: int, data: bytes, number: int) -> load.Result:
    """Send `number` requests, one after the other; the events that came and the failures."""
    result = load.Result()
    connection = load.Connection(port)
    for _ in range(number):
        await connection.ask(data, result)
    connection.close()
    return result


def _control(arm: Arm, *options: str) -> None:
    assert arm.process is not None
    subprocess.run(["callgrind_control", *options, str(arm.process.pid)], check=True, capture_output=True)


def counted(arm: Arm, workload: Workload, requests: int, folder: Path) -> dict[str, float]:
    """Instructions and misses of the gateway under load, for each request, or for each event of a streamed one, without
    what it does in the same time at rest: a process that is so slow looks after itself more often for each request.
    Raises RuntimeError where a request fails.
    """
    data = request(arm, workload)
    asyncio.run(_ask(arm.port, data, _WARM))
    _control(arm, "-i", "on")
    started = time.monotonic()
    result = asyncio.run(_ask(arm.port, data, requests))
    took = time.monotonic() - started
    busy = _dumped(arm, folder)
    time.sleep(took)
    rest = _dumped(arm, folder)
    _control(arm, "-i", "off")
    if result.failures:
        raise RuntimeError(f"{result.failures} of {requests} requests failed")
    units = result.events if workload.streamed else result.requests
    return {name: (value - rest[name]) / units for name, value in busy.items()}


def _dumped(arm: Arm, folder: Path) -> dict[str, int]:
    """The counts since the last dump, by the name of the event."""
    before = set(folder.glob("callgrind.*"))
    _control(arm, "-d")
    (dump,) = set(folder.glob("callgrind.*")) - before
    text = dump.read_text()
    names, values = _EVENTS.findall(text)[0].split(), _COUNTS.findall(text)[-1].split()
    return {name: int(value) for name, value in zip(names, values, strict=True)}


def observed(arm: Arm, folder: Path) -> Arm:
    """The arm under valgrind, which writes what it counts into the folder."""
    folder.mkdir()
    # Nothing is counted at the start, which would take minutes.
    watch = ["valgrind", "--tool=callgrind", "--cache-sim=yes", "--instr-atstart=no"]
    watch += [f"--callgrind-out-file={folder}/callgrind.out"]
    return replace(arm, command=[*watch, *arm.command])


def rows(name: str, unit: str, found: dict[str, float], first: dict[str, float]) -> str:
    """A row of the table: instructions, misses of the first and of the last level, and the ratio to the first arm."""
    near = found["I1mr"] + found["D1mr"] + found["D1mw"]
    far = found["ILmr"] + found["DLmr"] + found["DLmw"]
    cells = f"{found['Ir'] / 1e3:,.1f} | {near:,.0f} | {far:,.1f} | {found['Ir'] / first['Ir']:.3f}"
    return f"| {name} | {unit} | {cells} |"


def measure(requests: int, names: Sequence[str]) -> list[str]:
    """The rows of all arms on the workloads that have these names."""
    lines = []
    port = free_port()
    upstream = subprocess.Popen([sys.executable, "-m", "tests.bench.upstream", "--port", str(port)])
    kinds = [kind for kind in workloads(0) if kind.name in names]
    before = os.environ.get("BREAKEVEN_BENCH_BEFORE")
    programs = {**({"before": (before,)} if before else {}), "Breakeven": arms.BREAKEVEN}
    firsts: dict[str, dict[str, float]] = {}
    try:
        await_port(port)
        for name, program in programs.items():
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                plain = breakeven(port, folder, name=name, program=program)
                with started(observed(plain, folder / "counts"), folder, None, _START_SECONDS) as arm:
                    for kind in kinds:
                        found = counted(arm, kind, requests, folder / "counts")
                        unit = f"{kind.name}, an event" if kind.streamed else kind.name
                        lines.append(rows(name, unit, found, firsts.setdefault(kind.name, found)))
                        print(lines[-1], flush=True)
    finally:
        upstream.terminate()
        upstream.wait(10)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--workloads", nargs="*", default=["200-token JSON", "200 events", "32 kB conversation"])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    lines = [
        "| version | one | thousand instructions | L1 misses | last-level misses | instructions to the first |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *measure(given.requests, given.workloads),
    ]
    if given.out is not None:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
