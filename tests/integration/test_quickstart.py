"""A newcomer's first minutes: the commands of the quickstart, as written, in a clean checkout."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.support.processes import ROOT, Child, answers

PAGE = ROOT / "docs/quickstart.md"
# Commands until a client is routed, and how long a newcomer waits for one of them at most.
MOST_COMMANDS = 10
MOST_SECONDS = 300.0


def block(name: str) -> list[str]:
    """The commands between two marks of the page, without their fence."""
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```\n<!-- /{name} -->", PAGE.read_text(), re.DOTALL)
    assert found is not None, f"the quickstart has no commands marked {name}"
    return [command.strip() for line in found[1].strip().splitlines() for command in line.split(" && ")]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a clone has: the files that git knows."""
    folder = tmp_path / "breakeven"
    folder.mkdir()
    archive = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    copy = ["cp", "--parents", "-P", *[name for name in archive.stdout.decode().split("\0") if name], str(folder)]
    subprocess.run(copy, cwd=ROOT, check=True)
    return folder


def run(command: str, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(600)
def test_from_clone_to_a_routed_client(checkout: Path) -> None:
    *install, demo = block("demo")
    client = block("first-client")
    assert len(["git clone", "cd", *install, demo, *client]) <= MOST_COMMANDS
    for command in install:
        run(command, checkout)
    program, *options = demo.split()
    # The port of the page may be taken here.
    gateway = Child([str(checkout / program), *options, "--port", "18080"], checkout / "demo.log", {"PYTHONPATH": ""})
    try:
        gateway.wait_until(lambda: answers("http://127.0.0.1:18080/healthz"))
        gateway.wait_until(lambda: "with the admin key" in (checkout / "demo.log").read_text(), MOST_SECONDS)
        key = (checkout / "demo.log").read_text().rsplit("with the admin key ", 1)[1].split()[0]
        said = "".join(
            run(f"export OPENAI_BASE_URL=http://127.0.0.1:18080/v1; {command}", checkout) for command in client
        )
        assert "answered by the " in said
        decided = httpx2.get(
            "http://127.0.0.1:18080/admin/decisions", headers={"authorization": f"Bearer {key}"}, timeout=30.0
        ).json()["decisions"]
        # One answer and one stream, the newest first.
        assert [one["reason"] for one in decided[:2]] == [re.findall(r"because: (\w+)", said)[0]] * 2
    finally:
        assert gateway.stop() == 0
