"""A soak test: minutes of mixed load with aborts and faults, and the checks at its end.

`python -m tests.bench.soak --minutes 10 --out docs/benchmarks/soak.md`

Two scripted upstreams count what they received and what they reported; the ledger must have exactly that.
What a request is to meet is in its body, so that every abort and fault happens at a known point:
a client that goes away does so while its upstream waits for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from tests.bench.soak_report import SPARE, Outcome, Sample, page
from tests.bench.soak_upstream import Count, Upstream
from tests.support.processes import BREAKEVEN

ROOT = Path(__file__).parents[2]
PRICES = {"input": 15, "cached_input": 1.5, "output": 60}
_ABORTS, _FAULTS = 0.05, 0.05


@dataclass
class Load:
    """The clients: `rate` requests per second, half of them streamed."""

    port: int
    rate: float
    upstreams: dict[str, Upstream]
    seed: int = 7
    sent: int = 0
    ended: Counter[str] = field(default_factory=Counter)

    async def run(self, seconds: float) -> None:
        chance = random.Random(self.seed)
        started = time.monotonic()
        running: set[asyncio.Task[None]] = set()
        while (now := time.monotonic()) < started + seconds:
            due = started + self.sent / self.rate
            if due > now:
                await asyncio.sleep(due - now)
            self.sent += 1
            stream, teacher = chance.random() < 0.5, chance.random() < 0.5
            task = asyncio.create_task(self._one(self.sent, chance.random(), stream, teacher))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)

    async def _one(self, number: int, draw: float, stream: bool, teacher: bool) -> None:
        plan = "answer"
        if draw < _ABORTS:
            plan = "abort"
        elif draw < _ABORTS + _FAULTS:
            plan = ("500", "reset", "cut" if stream else "500")[int((draw - _ABORTS) / _FAULTS * 3)]
        name = "teacher" if teacher else "student"
        body = {
            "model": "auto@0" if teacher else "auto@1",
            "messages": [{"role": "user", "content": f"question {number}: " + "some words about it " * (number % 40)}],
            "user": f"{plan}:{name}:{number}",
            "stream": stream,
        }
        arrived = self.upstreams[name].arrived[number] = asyncio.Event()
        try:
            async with asyncio.timeout(30):
                self.ended[await self._ask(json.dumps(body).encode(), plan, stream, arrived)] += 1
        except (OSError, asyncio.IncompleteReadError, ValueError, TimeoutError):
            self.ended["broken"] += 1
        finally:
            del self.upstreams[name].arrived[number]

    async def _ask(self, body: bytes, plan: str, stream: bool, arrived: asyncio.Event) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        try:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
            writer.write(head.encode() + b"connection: close\r\n\r\n" + body)
            if plan == "abort" and not stream:
                await arrived.wait()
                return "aborted"
            answer = await reader.readuntil(b"data: ") if plan == "abort" else await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        if plan == "abort":
            return "aborted"
        if not answer.startswith(b"HTTP/1.1 200"):
            return f"failed ({answer[9:12].decode('latin-1') or 'no answer'})"
        if stream and (b"data: [DONE]" not in answer or b'"error"' in answer):
            return "truncated"
        return "ok"


class Gateway:
    """The gateway under test, observed from outside its process."""

    def __init__(self, folder: Path, student: int, teacher: int) -> None:
        self._folder = folder
        # A busy machine may need more than 2 s to connect; an attempt that never arrived would only be in the ledger.
        common = {"timeouts": {"connect_seconds": 20}}
        student_url, teacher_url = (f"http://127.0.0.1:{port}/v1" for port in (student, teacher))
        config = {
            "server": {"port": 0},
            "student": {"base_url": student_url, "model": "small", "hosting_usd_per_hour": 1, **common},
            "teacher": {"base_url": teacher_url, "model": "big", "usd_per_million": PRICES, **common},
            "routing": {"threshold": 0.5, "novelty_threshold": 1.0, "sticky": False},
            # A comparison would ask an upstream twice for a request that was sent once.
            "road": {"sample": 0},
            "ledger": {"url": "sqlite:///ledger.db"},
        }
        path = folder / "breakeven.yaml"
        path.write_text(yaml.safe_dump(config))
        self._log = (folder / "gateway.log").open("wb")
        command = [*BREAKEVEN, "serve", "--config", str(path)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=self._log, stdout=self._log)
        self._seen = psutil.Process(self._process.pid)
        self.port = 0

    async def ready(self) -> None:
        for _ in range(600):
            found = re.search(rb"listens on http://[^ \n]*:(\d+)", (self._folder / "gateway.log").read_bytes())
            if found:
                self.port = int(found[1])
                with contextlib.suppress(OSError):
                    await self.metrics()
                    return
            if self._process.poll() is not None:
                break
            await asyncio.sleep(0.05)
        raise RuntimeError((self._folder / "gateway.log").read_text())

    async def metrics(self) -> dict[str, float]:
        """The values of its metrics, summed over their labels."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        found: Counter[str] = Counter()
        for line in text.splitlines():
            if line.startswith("breakeven_"):
                name, _, value = line.rpartition(" ")
                found[name.partition("{")[0]] += float(value)  # type: ignore[assignment]
        return dict(found)

    async def sample(self, since: float) -> Sample:
        metrics = await self.metrics()
        return Sample(
            time.monotonic() - since,
            self._seen.memory_info().rss,
            self._seen.num_fds(),
            metrics["breakeven_in_flight"],
            metrics["breakeven_tasks"],
        )

    async def idle_again(self, since: float, before: Sample) -> Sample:
        """A sample once the gateway is idle again, or on a timeout; idle upstream connections live 4 to 8 s."""
        for _ in range(40):
            await asyncio.sleep(0.5)
            sample = await self.sample(since)
            if sample.fds <= before.fds + SPARE and sample.tasks <= before.tasks and not sample.in_flight:
                break
        return sample

    def stop(self) -> int:
        if self._process.poll() is None:
            self._process.terminate()
        code = self._process.wait(30)
        self._log.close()
        return code


async def soak(minutes: float, rate: float, folder: Path) -> Outcome:
    """Run the test for this many minutes at `rate` requests per second.

    Raises RuntimeError if the gateway does not start.
    """
    upstreams = {"student": Upstream("student", 0.05), "teacher": Upstream("teacher", 0.05)}
    ports = [await upstream.start() for upstream in upstreams.values()]
    gateway = Gateway(folder, *ports)
    try:
        await gateway.ready()
        started = time.monotonic()
        at_rest = await gateway.sample(started)
        load = Load(gateway.port, rate, upstreams)
        running = asyncio.create_task(load.run(minutes * 60))
        samples = []
        every = min(5.0, minutes * 3)
        while not running.done():
            await asyncio.wait({running}, timeout=every)
            if not running.done():
                samples.append(await gateway.sample(started))
        await running
        at_end = await gateway.idle_again(started, at_rest)
    finally:
        code = gateway.stop()
        for upstream in upstreams.values():
            await upstream.aclose()
    assert code == 0, code
    counted = {name: upstream.count for name, upstream in upstreams.items()}
    stored, cost, requests, twice = _ledger(folder / "ledger.db")
    teacher = counted["teacher"]
    expected = (teacher.prompt - teacher.cached) * 15_000_000 + teacher.cached * 1_500_000 + teacher.output * 60_000_000
    return Outcome(
        minutes, load.sent, load.ended, samples, at_rest, at_end, counted, stored, (cost, expected), requests, twice
    )


def _ledger(path: Path) -> tuple[dict[str, Count], int, int, int]:
    sums = "count(*), sum(prompt_tokens), sum(cached_tokens), sum(output_tokens)"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"select upstream, {sums} from attempts group by upstream").fetchall()
        money = "select sum(cost_input + cost_cached_input + cost_output) from attempts where upstream = 'teacher'"
        cost = connection.execute(money).fetchone()[0]
        requests, ids = connection.execute("select count(*), count(distinct id) from requests").fetchone()
    return {name: Count(*values) for name, *values in rows}, cost, requests, requests - ids


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=50.0, help="requests per second")
    parser.add_argument("--out", type=Path, help="file for the table; standard output by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="breakeven-soak-") as folder:
        outcome = asyncio.run(soak(given.minutes, given.rate, Path(folder)))
    text = page(outcome, f"python -m tests.bench.soak --minutes {given.minutes:g} --rate {given.rate:g}")
    if given.out is None:
        print(text, end="")
    else:
        given.out.write_text(text, encoding="utf-8")
    return 0 if all(holds for _, _, holds in outcome.checks) else 1


if __name__ == "__main__":
    raise SystemExit(main())
