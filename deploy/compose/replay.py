"""The upstreams and the load of the compose demo: replay servers for student and teacher, and an endless client.

`python replay.py --gateway http://127.0.0.1:8080 --student-port 8001 --teacher-port 8002 --key demo`
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
    """Run a replay server of the recorded answers of `side` (student or teacher) on `port` during the block.

    Its input file is written to `folder`.
    """
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


def send_requests(gateway: str, key: str, per_second: float, stopped: threading.Event) -> None:
    """Send the recorded prompts to the gateway in a loop, `per_second` of them, until `stopped` is set.

    Failed requests are ignored, so the gateway may start later.
    """
    with httpx2.Client(base_url=gateway, timeout=60.0, headers={"authorization": f"Bearer {key}"}) as client:
        for row in itertools.cycle(recorded.load()):
            if stopped.wait(1 / per_second):
                return
            body = {"model": "auto", "messages": [{"role": "user", "content": row.prompt}]}
            with contextlib.suppress(httpx2.HTTPError):
                client.post("/v1/chat/completions", json=body)


def main() -> None:
    """Parse the command line, start everything, and run until SIGTERM or SIGINT."""
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
        send_requests(options.gateway, options.key, options.per_second, stopped)


if __name__ == "__main__":
    main()
