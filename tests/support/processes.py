"""Child processes of the tests: real gateways and replay servers, each stopped by its own pid."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
# PYTHONPATH of child processes: the packages of this checkout under their installed names, and the tests.
CHECKOUT = f"{ROOT / '.ci/namespace'}{os.pathsep}{ROOT}"
# The `breakeven` command of this checkout.
BREAKEVEN = (sys.executable, "-P", "-m", "breakeven.gateway.cli")
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


class Child:
    """A running child process whose output is appended to the file `log`."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            # A session of its own, so that its own children can be killed with it.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], seconds: float = _START_SECONDS) -> None:
        """Poll `ready` until it returns true.

        Raises AssertionError with the end of the log if the process exits first, or after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            ended = self.process.poll()
            if ended is not None or time.monotonic() > deadline:
                what = f"not ready after {seconds:.0f} s" if ended is None else f"ended with code {ended}"
                raise AssertionError(f"{self.process.args!r}: {what}\n{self.said()[-4000:]}")
            time.sleep(0.05)

    def said(self) -> str:
        """All output to date."""
        return self.log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM, seconds: float = _STOP_SECONDS) -> int:
        """Send a signal, wait for `seconds`, and return the exit code.

        Raises AssertionError if the process does not exit in time; it is then killed with its children.
        """
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"{self.process.args!r} did not end within {seconds:.0f} s") from None


def answers(url: str) -> bool:
    """Whether a GET of `url` returns status 200."""
    try:
        return httpx2.get(url, timeout=5.0).status_code == 200
    except httpx2.HTTPError:
        return False


def free_port() -> int:
    """A port on 127.0.0.1 that is free at the time of the call."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def samples(text: str) -> dict[str, float]:
    """Parse Prometheus exposition text: values by `name{label="value",…}`, with labels sorted by name."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = float(sample.value)
    return found


class Gateway:
    """`breakeven serve` on a free port, with its config, ledger and logs in `folder`."""

    def __init__(self, folder: Path, config: Mapping[str, Any], env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.config = folder / "breakeven.yaml"
        self.config.write_text(yaml.safe_dump(dict(config)))
        self.ledger = folder / "breakeven.db"
        self._env = {"PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1", **(env or {})}
        self._starts = 0
        self.port = 0
        self.child: Child

    @property
    def url(self) -> str:
        """The gateway's URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"{self.url}/v1"

    def start(self) -> None:
        """Start it and wait until it is ready; a restart uses the same port."""
        self._starts += 1
        log = self.folder / f"gateway-{self._starts}.log"
        command = [
            *BREAKEVEN,
            "serve",
            "--config",
            str(self.config),
            "--port",
            str(self.port),
        ]
        self.child = Child(command, log, self._env)
        try:
            self.child.wait_until(self._listens)
            self.child.wait_until(lambda: answers(f"{self.url}/readyz"))
        except BaseException:
            self.child.stop()
            raise

    def _listens(self) -> bool:
        said = re.search(r"listens on http://127\.0\.0\.1:(\d+)", self.child.said())
        if said:
            self.port = int(said[1])
        return said is not None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal, wait, and return the exit code."""
        return self.child.stop(number)

    def metrics(self) -> dict[str, float]:
        """All samples of /metrics, as by `samples`. They include all requests settled before the call."""
        # A scrape waits half a second for the ledger, and this machine may be busy.
        deadline = time.monotonic() + 4.0
        while True:
            response = httpx2.get(f"{self.url}/metrics", timeout=30.0)
            assert response.status_code == 200, response.text
            found = samples(response.text)
            fresh = found.get("breakeven_ledger_age_seconds", 1.0) < 0.5 and not found["breakeven_ledger_pending"]
            if fresh or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def report(self, *options: str) -> dict[str, Any]:
        """The parsed output of `breakeven report --json` with further options."""
        command = [
            *BREAKEVEN,
            "report",
            "--json",
            "--config",
            str(self.config),
            *options,
        ]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **self._env}, timeout=60)
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of an SQL query on the ledger's SQLite file."""
        with contextlib.closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()


PRICES = {"input": 15.0, "cached_input": 1.5, "output": 60.0}


def make_config(student: str, teacher: str, /, **sections: Mapping[str, Any]) -> dict[str, Any]:
    """A config for a student and a teacher URL; `sections` adds keys to the sections of those names."""
    config: dict[str, Any] = {
        "student": {"base_url": student, "model": "student", "hosting_usd_per_hour": 1.2},
        "teacher": {"base_url": teacher, "model": "teacher-model", "usd_per_million": PRICES},
        "economics": {"investment_usd": 500},
        # Routed at once, and nothing compared, unless a test says so.
        "routing": {"threshold": 0.5},
        "road": {"sample": 0},
    }
    for name, keys in sections.items():
        config[name] = {**config.get(name, {}), **keys}
    return config


@contextlib.contextmanager
def gateway(folder: Path, config: Mapping[str, Any], env: Mapping[str, str] | None = None) -> Iterator[Gateway]:
    """Run a gateway during the block; yields it once it is ready."""
    running = Gateway(folder, config, env)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@contextlib.contextmanager
def replay(folder: Path, model: str, rows: Sequence[Mapping[str, Any]], *options: str) -> Iterator[str]:
    """Run a replay server with the answers in `rows` (see models/replay/answers.py); yields its base URL."""
    file = folder / f"{model}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    port_file = folder / f"{model}.port"
    command = [sys.executable, "-m", "breakeven.models.replay", "--answers", str(file), "--model", model]
    child = Child(
        [*command, "--port-file", str(port_file), *options], folder / f"{model}.log", {"PYTHONPATH": CHECKOUT}
    )
    try:
        child.wait_until(port_file.exists)
        yield f"http://127.0.0.1:{int(port_file.read_text())}/v1"
    finally:
        child.stop()
