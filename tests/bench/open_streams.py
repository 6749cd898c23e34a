"""Measures many streams that are open at once, an event every two seconds in each, with the gateway and without it.

Part of `python -m tests.bench.scaling`. The gateway has a core of its own, load and upstream share the others: what
they delay themselves shows in the streams without a gateway.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop

from tests.bench import load
from tests.bench.arms import Arm, await_port, breakeven, free_port, started

_INTERVAL_SECONDS = 2.0
# They are opened one after the other, so that their events are spread over the interval.
_OPENING_SHARE = 0.25
# Beside two connections for each stream.
_OTHER_FILES = 400


@dataclass(frozen=True)
class Held:
    """What was seen while the streams were open: how much longer than the interval each one's longest pause was, in
    milliseconds in order, CPU microseconds of the gateway for each event, and the resident bytes for each stream."""

    late_ms: list[float]
    us_per_event: float
    bytes_per_stream: float


def table(count: int, seconds: float, data: bytes, folder: Path) -> Iterator[str]:
    """The rows of a Markdown table: `count` streams of the request `data`, all over after about these seconds, and the
    same without the gateway.
    """
    try:
        _allow_files(2 * count + _OTHER_FILES)
    except (OSError, ValueError) as error:
        yield f"Not measured: {count:,} streams need {2 * count + _OTHER_FILES:,} open files ({error})."
        return
    cores, port = sorted(os.sched_getaffinity(0)), free_port()
    ours, others = (cores[:1], cores[1:]) if len(cores) > 1 else (cores, cores)
    events = max(2, int(seconds * (1 - _OPENING_SHARE) / _INTERVAL_SECONDS))
    timing = ["--events", str(events), "--interval-ms", str(1000 * _INTERVAL_SECONDS)]
    upstream = subprocess.Popen([sys.executable, "-m", "tests.bench.upstream", "--port", str(port), *timing])
    try:
        psutil.Process(upstream.pid).cpu_affinity(others)
        psutil.Process().cpu_affinity(others)
        await_port(port)
        with started(breakeven(port, folder, name="open-streams", concurrency=2 * count), folder, ours) as arm:
            through = _held(arm, data, count, seconds)
        direct = _held(Arm("direct", "", [], port, ""), data, count, seconds)
    finally:
        psutil.Process().cpu_affinity(cores)
        upstream.terminate()
        upstream.wait(10)
    yield f"| {count:,} open streams | p50 later, ms | p99 | latest | us per event | KB per stream |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name, held in (("through the gateway", through), ("direct", direct)):
        p50, p99 = (held.late_ms[int(share * (count - 1))] for share in (0.5, 0.99))
        cost = f"{held.us_per_event:.0f} | {held.bytes_per_stream / 1e3:.1f}" if held.us_per_event else " | "
        yield f"| {name} | {p50:.0f} | {p99:.0f} | {held.late_ms[-1]:.0f} | {cost} |"


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        hard = number
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))


def _held(arm: Arm, data: bytes, count: int, seconds: float) -> Held:
    """Open the streams, and follow each to its end. Raises RuntimeError where one fails."""
    # A collection over ten thousand streams of the load's own takes a tenth of a second.
    gc.disable()
    rest, cpu = (arm.memory_bytes(), arm.cpu_seconds()) if arm.process else (0, 0.0)
    result, most = uvloop.run(_follow(arm, data, count, seconds))
    gc.enable()
    used = arm.cpu_seconds() - cpu if arm.process else 0.0
    if result.failures:
        raise RuntimeError(f"{result.failures} of {count} streams failed")
    late = sorted(1000 * (gap - _INTERVAL_SECONDS) for gap in result.gaps)
    return Held(late, 1e6 * used / result.events, (most - rest) / count)


async def _follow(arm: Arm, data: bytes, count: int, seconds: float) -> tuple[load.Result, int]:
    """The measurements of `count` streams, and the gateway's memory when all of them were open."""
    result = load.Result()
    begun = time.perf_counter()

    async def one(number: int) -> None:
        await asyncio.sleep(begun + number * _OPENING_SHARE * seconds / count - time.perf_counter())
        connection = load.Connection(arm.port)
        await connection.ask(data, result)
        connection.close()

    async def look() -> int:
        await asyncio.sleep((_OPENING_SHARE + 0.2) * seconds)
        return arm.memory_bytes()

    memory, *_ = await asyncio.gather(look(), *(one(number) for number in range(count)))
    return result, memory
