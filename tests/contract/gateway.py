"""The real gateway in a subprocess, before two scripted upstreams."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.contract.client import RawClient, Response, ask, eventually
from tests.contract.scripted import ScriptedUpstream
from tests.support.forked import Forked
from tests.support.processes import CHECKOUT

ROOT = Path(__file__).parents[2]
STUDENT_KEY = "sk-student-canary-5f1c"
TEACHER_KEY = "sk-teacher-canary-9d2e"
TIMEOUTS = {"connect_seconds": 2.0, "first_event_seconds": 1.5, "idle_seconds": 1.0, "total_seconds": 4.0}
# All tests of this folder run over either transport: BREAKEVEN_TEST_TRANSPORT=httpx2 pytest tests/contract
_CHOSEN = os.environ.get("BREAKEVEN_TEST_TRANSPORT")
TRANSPORT = {"transport": _CHOSEN} if _CHOSEN else {}
NEVER_OPEN = {"consecutive_failures": 100_000, "failure_rate": 1.0, "window_requests": 100_000}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` over `base`, section by section."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


class Gateway:
    """One `breakeven serve` with its config, log and ledger in a folder."""

    def __init__(
        self,
        folder: Path,
        student: ScriptedUpstream,
        teacher: ScriptedUpstream,
        changes: dict[str, Any] | None = None,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        log_level: str = "debug",
        command: tuple[str, ...] | None = None,
    ) -> None:
        self.folder = folder
        self.student, self.teacher = student, teacher
        self.path = folder / "breakeven.yaml"
        self.log = folder / "gateway.log"
        prices = {"input": 10, "cached_input": 1, "output": 20}
        common = {"timeouts": TIMEOUTS, "breaker": NEVER_OPEN, **TRANSPORT}
        self.config: dict[str, Any] = {
            "server": {"port": 0, "drain_seconds": 5},
            "student": {"base_url": student.url, "model": "small", "api_key_env": "T_STUDENT_KEY", **common},
            "teacher": {
                "base_url": teacher.url, "model": "big", "api_key_env": "T_TEACHER_KEY",
                "usd_per_million": prices, **common,
            },
            "routing": {"novelty_threshold": 1.0, "threshold": 1.0, "sticky": False},
            "ledger": {"url": "sqlite:///ledger.db"},
            "road": {"sample": 0},
        }  # fmt: skip
        self.config = merged(self.config, changes or {})
        self.environment = {
            **os.environ, "T_STUDENT_KEY": STUDENT_KEY, "T_TEACHER_KEY": TEACHER_KEY, "OMP_NUM_THREADS": "1",
            "PYTHONFAULTHANDLER": "1", "PYTHONPATH": CHECKOUT, **(environment or {}),
        }  # fmt: skip
        self._command = command
        self._arguments = ["--config", str(self.path), "--log-level", log_level, *arguments]
        self.process: subprocess.Popen[bytes] | Forked | None = None
        self.port = 0

    def write_config(self, changes: dict[str, Any] | None = None) -> None:
        """The config file, replaced atomically."""
        self.config = merged(self.config, changes or {})
        fresh = self.path.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(self.config))
        fresh.replace(self.path)

    def start(self) -> Gateway:
        self.write_config()
        self.log.touch()
        start = self.log.stat().st_size
        self.process = self._run()
        # Many processes that start at once take long; one that fails ends by itself.
        end = time.monotonic() + 120
        while time.monotonic() < end:
            found = re.search(rb"listens on http://[^ \n]*:(\d+)", self.log.read_bytes()[start:])
            if found:
                self.port = int(found[1])
                with contextlib.suppress(OSError, EOFError):
                    if self.get("/healthz").status == 200:
                        return self
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the gateway did not start:\n{self.log.read_text()}")

    @property
    def _several(self) -> bool:
        """Whether it may have several workers."""
        return "workers" in self.config["server"] or "--workers" in self._arguments

    def _run(self) -> subprocess.Popen[bytes] | Forked:
        if self._command is None and not self._several and self.environment["PYTHONPATH"] == CHECKOUT:
            return Forked(["serve", *self._arguments], ROOT, self.environment, self.log)
        command = [sys.executable, *(self._command or ("-m", "breakeven.gateway.cli", "serve")), *self._arguments]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 20.0) -> int:
        """Its exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Response:
        return self._ask(path, None, headers, "GET")

    def post(self, body: object, headers: dict[str, str] | None = None, path: str = "/v1/chat/completions") -> Response:
        return self._ask(path, body, headers, "POST")

    def _ask(self, path: str, body: object, headers: dict[str, str] | None, method: str) -> Response:
        try:
            return ask(self.port, path, body, headers, method)
        except EOFError as error:
            time.sleep(0.5)
            code = None if self.process is None else self.process.poll()
            error.add_note(f"exit code {code}; the end of the log:\n{self.log.read_text()[-3000:]}")
            raise

    def connect(self, **options: Any) -> RawClient:
        return RawClient(self.port, **options)

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels, as exported."""
        samples = {}
        for line in self.get("/metrics").body.decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples

    def fresh_metrics(self, seconds: float = 4.0) -> dict[str, float]:
        """As `metrics`, once all that is settled is in the ledger and was read there: a scrape waits half a second for
        that, and this machine may be busy. After `seconds` whatever there is.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = self.metrics()
            fresh = found.get("breakeven_ledger_age_seconds", 1.0) < 0.5 and not found["breakeven_ledger_pending"]
            if fresh or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of a metric that have these labels."""
        total = 0.0
        self._await_workers()
        for sample, value in self.fresh_metrics().items():
            base, _, rest = sample.partition("{")
            if base == f"breakeven_{name}" and all(f'{k}="{v}"' in rest for k, v in labels.items()):
                total += value
        return total

    def settled(self) -> list[dict[str, Any]]:
        """The settled records of the log, in order."""
        records = []
        # The last line may be still being written.
        for line in self.log.read_text().split("\n")[:-1]:
            if line.startswith("{"):
                value = json.loads(line)
                if "request" in value:
                    records.append(value["request"])
        return records

    def record(self, response: Response) -> dict[str, Any]:
        """The settled record of one response."""
        wanted = response.headers["x-breakeven-request-id"]
        return dict(eventually(lambda: next((r for r in self.settled() if r["request_id"] == wanted), None)))

    def next_record(self, count: int) -> dict[str, Any]:
        """The record after the first `count`."""
        return dict(eventually(lambda: self.settled()[count:])[0])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the ledger, once everything settled is in it."""
        self._await_workers()
        with contextlib.suppress(OSError, EOFError, KeyError, ValueError):
            self.fresh_metrics()
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.db")) as connection:
            return connection.execute(query).fetchall()

    def _await_workers(self, seconds: float = 10.0) -> None:
        """Wait until the journal of several workers is empty, since a scrape waits only for the one that answers it:
        for `seconds`, as the database may be away.
        """
        deadline = time.monotonic() + seconds
        while self._several and time.monotonic() < deadline:
            try:
                if not any(one.stat().st_size for one in self.folder.glob("*journal*/**/*.jsonl")):
                    return
            except FileNotFoundError:
                pass
            time.sleep(0.02)

    def memory(self) -> int:
        """Resident bytes."""
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)


def chat(text: str = "hi", **fields: Any) -> dict[str, Any]:
    """A chat body; the threshold of 1.0 sends `auto` to the student."""
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}


@contextlib.contextmanager
def running(folder: Path, changes: dict[str, Any] | None = None, **options: Any) -> Iterator[Gateway]:
    """A gateway with two upstreams of its own."""
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        gateway = Gateway(folder, student, teacher, changes, **options)
        try:
            yield gateway.start()
        finally:
            gateway.stop()
