"""Measures how the cost of a request depends on prompt length, number of keys, ledger size and open streams.

`python -m tests.bench.scaling --out docs/benchmarks [--seconds 2] [--rows 10000000]` writes scaling.md. Each figure is
the least of three runs: CPU microseconds of the gateway's process, which other work on the machine can only add to.
The streams that are open at once are as many as 20,000 files for a process allow; `--open` asks for more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger.database import migrate, open_engine
from tests.bench import ledger, load, open_streams
from tests.bench.arms import KEY, Arm, await_port, breakeven, free_port, started
from tests.bench.upstream import PACED_MAX_TOKENS

_ROUNDS = 3
_WORDS = "Please explain in plain words how the settlement of this invoice is meant to work for a new customer. "
_PROMPTS = (100, 1_000, 4_000, 16_000, 64_000)
_KEYS = "1,1000,10000"
_STREAMS = "1,10,100,500"
_OPEN, _OPEN_SECONDS = 9_800, 40.0
_INTERVAL_SECONDS = 0.05


def _body(characters: int, model: str = "auto", **more: object) -> dict[str, object]:
    text = (_WORDS * (characters // len(_WORDS) + 1))[:characters]
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def _request_us(arm: Arm, body: dict[str, object], seconds: float) -> float:
    data = load.request("/v1/chat/completions", body, KEY)
    uvloop.run(load.closed(arm.port, data, connections=8, seconds=0.3))
    return min(_us(arm, data, 32, seconds, streamed=False) for _ in range(_ROUNDS))


def _us(arm: Arm, data: bytes, connections: int, seconds: float, *, streamed: bool) -> float:
    before = arm.cpu_seconds()
    result = uvloop.run(load.closed(arm.port, data, connections=connections, seconds=seconds))
    # Wait until the last records are in the ledger.
    time.sleep(0.3)
    used = arm.cpu_seconds() - before
    assert not result.failures, f"{result.failures} failures"
    return 1e6 * used / (result.events if streamed else result.requests)


def _prompts(arm: Arm, seconds: float) -> Iterator[str]:
    yield "| characters of the prompt | us, decided | us, pinned |"
    yield "| ---: | ---: | ---: |"
    for size in _PROMPTS:
        decided, pinned = (_request_us(arm, _body(size, model), seconds) for model in ("auto", "student"))
        yield f"| {size:,} | {decided:,.0f} | {pinned:,.0f} |"


def _keys(upstream: int, folder: Path, seconds: float, numbers: Sequence[int]) -> Iterator[str]:
    yield "| keys in the config | us, pinned |"
    yield "| ---: | ---: |"
    for keys in numbers:
        with started(breakeven(upstream, folder, name=f"keys-{keys}", keys=keys), folder, None) as arm:
            yield f"| {keys:,} | {_request_us(arm, _body(1_000, 'student'), seconds):,.0f} |"


def _ledgers(upstream: int, folder: Path, seconds: float, rows: int) -> Iterator[str]:
    yield "| requests in the ledger | its size, GB | us, pinned |"
    yield "| ---: | ---: | ---: |"
    for count in (0, rows):
        arm = breakeven(upstream, folder, name=f"ledger-{count}")
        path = folder / f"ledger-{count}.db"
        engine = open_engine(f"sqlite:///{path}")
        migrate(engine)
        if count:
            ledger.fill(engine, count, (time.time_ns() // 1000 // HOUR - 8760) * HOUR)
        engine.dispose()
        with started(arm, folder, None):
            cost = _request_us(arm, _body(1_000, "student"), seconds)
        yield f"| {count:,} | {path.stat().st_size / 1e9:.1f} | {cost:,.0f} |"
        path.unlink()


def _paced() -> bytes:
    return load.request("/v1/chat/completions", _body(1_000, "student", stream=True, max_tokens=PACED_MAX_TOKENS), KEY)


def _streams(arm: Arm, events: int, numbers: Sequence[int]) -> Iterator[str]:
    yield "| open streams at 20 events/s | us per event | memory, MB | longest gap p99, ms |"
    yield "| ---: | ---: | ---: | ---: |"
    data = _paced()
    for count in numbers:
        # Each connection sends one request, for a stream of `events` that lasts longer than these seconds.
        before = arm.cpu_seconds()
        result = uvloop.run(load.closed(arm.port, data, connections=count, seconds=events * _INTERVAL_SECONDS / 2))
        used = arm.cpu_seconds() - before
        gap = 1000 * sorted(result.gaps)[int(0.99 * len(result.gaps))]
        yield f"| {count:,} | {1e6 * used / result.events:,.0f} | {arm.memory_bytes() / 1e6:.0f} | {gap:.0f} |"


def _page(folder: Path, given: argparse.Namespace, command: str) -> Iterator[str]:
    seconds, events = given.seconds, given.events
    keys, streams = ([int(number) for number in text.split(",")] for text in (given.keys, given.streams))
    port = free_port()
    upstream = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.upstream", "--port", str(port), "--events", str(events)]
    )
    try:
        await_port(port)
        yield "# Scaling\n"
        yield f"From one run of `{command}`:"
        yield f"CPU microseconds of the gateway's process for each request, everything on, the least of {_ROUNDS} runs"
        yield f"of {seconds:g} s. Pinned requests are without the router's decision."
        yield f"Machine: {os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()},"
        yield f"Python {platform.python_version()}.\n"
        with started(breakeven(port, folder), folder, None) as arm:
            yield "## The prompt\n"
            yield from _prompts(arm, seconds)
            yield "\nWhat grows is reading: JSON is checked, copied once and sent on, and the router reads a bounded"
            yield "part of the text.\n"
            yield "## Open streams\n"
            yield from _streams(arm, events, streams)
            yield "\nPinned. A process at rest wakes up for its timers, some ten times a second: few events share that."
            yield "Many streams share the wake-ups of the event loop as well.\n"
        yield "## Streams that are open at once\n"
        yield "One event every two seconds in each: how much later than that the latest event of a stream came.\n"
        yield from open_streams.table(given.open, given.open_seconds, _paced(), folder)
        yield "\nThe direct streams' delays are those of the load and the upstream, which share a core.\n"
        yield "## Keys\n"
        yield from _keys(port, folder, seconds, keys)
        yield "\nA key is found by its hash.\n"
        yield "## The ledger\n"
        yield from _ledgers(port, folder, seconds, given.rows)
        yield "\nA row goes into three B-trees; their depth grows with the logarithm of the rows."
    finally:
        upstream.terminate()
        upstream.wait(10)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--keys", default=_KEYS)
    parser.add_argument("--streams", default=_STREAMS)
    parser.add_argument("--open", type=int, default=_OPEN)
    parser.add_argument("--open-seconds", type=float, default=_OPEN_SECONDS)
    given = parser.parse_args(arguments)
    command = f"python -m tests.bench.scaling --out {given.out} --seconds {given.seconds:g} --rows {given.rows}"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="breakeven-scaling-")))
        lines = []
        for line in _page(folder, given, command):
            print(line, flush=True)
            lines.append(line)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "scaling.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
