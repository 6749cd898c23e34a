"""The parts of the compose demo: a replayed student, a replayed teacher, and a player that never ends.

`python parts.py --gateway http://127.0.0.1:8080 --student-port 8001 --teacher-port 8002 --key demo`
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2

from breakeven.models import recorded


@contextlib.contextmanager
def replayed(side: str, port: int, folder: Path) -> Iterator[None]:
    """A replay server of one side's recorded answers."""
    answers = folder / f"{side}.jsonl"
    with answers.open("w", encoding="utf-8") as file:
        for row in recorded.load():
            counts = {
                "prompt_tokens": getattr(row, f"{side}_prompt_tokens"),
                "output_tokens": getattr(row, f"{side}_tokens"),
            }
            file.write(json.dumps({"prompt": row.prompt, "answer": getattr(row, side), **counts}) + "\n")
    command = [sys.executable, "-m", "breakeven.models.replay", "--answers", str(answers)]
    process = subprocess.Popen([*command, "--model", f"replayed-{side}", "--port", str(port)])
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


def play(gateway: str, key: str, per_second: float, stopped: threading.Event) -> None:
    """Ask all recorded prompts again and again. A gateway that is not there yet is waited for."""
    with httpx2.Client(base_url=gateway, timeout=60.0, headers={"authorization": f"Bearer {key}"}) as client:
        for row in itertools.cycle(recorded.load()):
            if stopped.wait(1 / per_second):
                return
            body = {"model": "auto", "messages": [{"role": "user", "content": row.prompt}]}
            with contextlib.suppress(httpx2.HTTPError):
                client.post("/v1/chat/completions", json=body)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--student-port", type=int, required=True)
    parser.add_argument("--teacher-port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--per-second", type=float, default=4.0)
    options = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with (
        tempfile.TemporaryDirectory() as name,
        replayed("student", options.student_port, Path(name)),
        replayed("teacher", options.teacher_port, Path(name)),
    ):
        play(options.gateway, options.key, options.per_second, stopped)


if __name__ == "__main__":
    main()
