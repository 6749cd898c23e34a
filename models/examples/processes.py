"""Child processes of the example: the replayed teacher and the gateway, each ended with its block."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replay(out: Path) -> Iterator[str]:
    """Run a replay server with the program's answers as teacher; yields its base URL."""
    port_file = out / "teacher.port"
    port_file.unlink(missing_ok=True)
    replay = [sys.executable, "-P", "-m", "breakeven.models.replay", "--model", "oracle"]
    line = [*replay, "--answers", str(out / "answers.jsonl")]
    line += ["--port-file", str(port_file), "--speed", "inf"]
    with (out / "teacher.log").open("wb") as log, process(line, log, port_file.exists):
        yield f"http://127.0.0.1:{int(port_file.read_text())}/v1"


@contextmanager
def process(line: list[str], log: Any, ready: Callable[[], bool]) -> Iterator[None]:
    """Run a command with its output in `log`, an open file, until `ready`; it is ended with the block.

    Raises SystemExit where it ends early.
    """
    child = subprocess.Popen(line, stdout=log, stderr=log, env=dict(os.environ))
    try:
        for _ in range(600):
            if ready():
                break
            if child.poll() is not None:
                raise SystemExit(f"{line[2]} ended with code {child.returncode}")
            time.sleep(0.1)
        yield
    finally:
        child.terminate()
        child.wait(90)


def alive(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """A port on 127.0.0.1 that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
