"""No verb, and no child process of one, imports a file of the user's working directory."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.support.processes import CHECKOUT, answers, free_port, make_config

BREAKEVEN = str(Path(sys.executable).with_name("breakeven"))
OURS = ("breakeven", "gateway", "router", "models", "vllm", "torch", "sitecustomize", "usercustomize")
SECONDS = 180.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a trap for every name that Python or a library might import."""
    installed = {name.partition(".")[0] for name in importlib.metadata.packages_distributions()}
    trap = f"open({str(tmp_path / 'sprung')!r}, 'a').write(__file__ + '\\n')\nraise SystemExit('a trap was imported')\n"
    work = tmp_path / "work"
    work.mkdir()
    for name in {*sys.stdlib_module_names, *installed, *OURS}:
        if name.isidentifier():
            (work / f"{name}.py").write_text(trap)
    for name in ("models", "router", "vllm"):
        (work / name).mkdir()
        (work / name / "__init__.py").write_text(trap)
    config = make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1", server={"port": free_port()})
    (work / "breakeven.yaml").write_text(yaml.safe_dump(config))
    return work


def environment() -> dict[str, str]:
    env = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1"}
    env.pop("PYTHONSAFEPATH", None)
    return env


def run(folder: Path, *arguments: str, codes: Sequence[int] = (0,)) -> str:
    done = subprocess.run(
        [BREAKEVEN, *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode in codes, done.stdout[-2000:] + done.stderr[-2000:]
    assert not (folder.parent / "sprung").exists(), (folder.parent / "sprung").read_text()
    return done.stdout + done.stderr


def rows(path: Path) -> str:
    """Outcome rows that a router can be trained on."""
    made = [
        {
            "id": str(number),
            "prompt": f"{'Prove theorem' if number % 2 else 'Say hello to guest'} {number} {'abcdefg'[number % 7]}",
            "student_score": 0.0 if number % 2 and number % 6 else 1.0,
            "teacher_score": 1.0,
        }
        for number in range(120)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return str(path)


def test_the_traps_work(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import router"], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert "a trap was imported" in done.stderr
    assert (folder.parent / "sprung").exists()


def test_verbs_without_children(folder: Path) -> None:
    outcomes = rows(folder / "outcomes.jsonl")
    assert "teacher" in run(folder, "check")
    run(folder, "route", "How do I reset my password?")
    run(folder, "plan", "--input-tokens", "100M", "--output-tokens", "1M", "--input-usd", "15", "--output-usd", "60")
    run(folder, "train", outcomes, "--out", "my-router")
    run(folder, "evaluate", outcomes, "--artifact", "my-router")
    run(folder, "tune", outcomes, "--artifact", "my-router", "--teacher-share", "0.5")
    run(folder, "invest", "training", "100")
    assert "investment" in run(folder, "report")


def test_several_workers(folder: Path) -> None:
    log = folder.parent / "log"
    with log.open("wb") as output:
        command = [BREAKEVEN, "serve", "--workers", "2"]
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + SECONDS
        while (found := re.search(r"listens on (http\S+)", log.read_text())) is None or not answers(
            f"{found[1]}/healthz"
        ):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    assert code == 0, log.read_text()
    assert not (folder.parent / "sprung").exists(), (folder.parent / "sprung").read_text()


def test_the_demo_and_its_upstreams(folder: Path) -> None:
    assert "savings" in run(folder, "demo", "--once", "--port", "0")


def test_the_students_server(folder: Path) -> None:
    """This interpreter has no vLLM: the one in the working directory must not stand in for it."""
    (folder / "config.json").write_text("{}")
    assert "has no vLLM" in run(folder, "student", "--model", ".", "--python", sys.executable, codes=(2,))
