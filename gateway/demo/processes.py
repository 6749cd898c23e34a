"""The demo's child processes: replayed upstreams and the gateway itself."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx2
import msgspec

from breakeven.gateway.demo.rows import DemoRow
from breakeven.gateway.errors import BreakevenError

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0


class DemoError(BreakevenError):
    """A process of the demo did not start or ended early, or no request was answered."""


@contextlib.contextmanager
def child(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a child process during the block, its output in the file `log`; then terminate it, after 15 s kill it. `env`
    is added to the environment.
    """
    variables = {**os.environ, **(env or {})}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=variables
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def replay(name: str, side: str, rows: Sequence[DemoRow], folder: Path) -> Iterator[str]:
    """Run a replay server of the recorded answers of `side` (student or teacher) as model `name`; yields its base URL.

    Its files are in `folder`. Raises DemoError.
    """
    answers = folder / f"{side}.jsonl"
    port_file = folder / f"{side}.port"
    lines = []
    for row in rows:
        recorded = getattr(row, side)
        lines.append(
            msgspec.json.encode(
                {
                    "prompt": row.prompt,
                    "answer": recorded.answer,
                    "prompt_tokens": recorded.prompt_tokens,
                    "output_tokens": recorded.output_tokens,
                    "tokens": recorded.tokens,
                    "logprobs": recorded.logprobs,
                }
            )
        )
    answers.write_bytes(b"\n".join(lines) + b"\n")
    command = [sys.executable, "-P", "-m", "breakeven.models.replay", "--answers", str(answers), "--model", name]
    log = folder / f"{side}.log"
    with child([*command, "--port", "0", "--port-file", str(port_file)], log) as process:
        deadline = time.monotonic() + _START_SECONDS
        while not (port_file.exists() and port_file.read_text().strip()):
            _check_running(process, f"the replayed {side}", log, deadline)
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port_file.read_text().strip()}/v1"


@contextlib.contextmanager
def gateway(config: Path, port: int, folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Run the gateway on `port`, with `env` added to its environment, until the end of the block; yields its URL once
    it is ready. Raises DemoError.
    """
    log = folder / "gateway.log"
    command = [
        sys.executable,
        "-P",
        "-m",
        "breakeven.gateway.cli",
        "serve",
        "--config",
        str(config),
        "--port",
        str(port),
    ]
    with child(command, log, env) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{url}/readyz", timeout=2.0).status_code == 200:
                    break
            _check_running(process, "the gateway", log, deadline)
            time.sleep(0.05)
        yield url


def free_port(wanted: int) -> int:
    """The wanted port on 127.0.0.1 if it is free, else another free one. Raises DemoError where there is none."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise DemoError("no free port on 127.0.0.1")


def _check_running(process: subprocess.Popen[bytes], name: str, log: Path, deadline: float) -> None:
    if process.poll() is not None or time.monotonic() > deadline:
        tail = log.read_text(errors="replace").strip().splitlines()[-3:]
        what = "did not start in time" if process.poll() is None else f"ended with code {process.returncode}"
        raise DemoError(f"{name} {what}: {' | '.join(tail) or 'no output'}")
