"""A newcomer's first minutes: the commands of the quickstart, as written, in a clean checkout, and then the console."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.console import Page
from tests.support.processes import ROOT, Child, answers

PAGE = ROOT / "docs/quickstart.md"
URL = "http://127.0.0.1:18080"
# Commands until a client is routed, and how long a newcomer waits until it is seen in the console.
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


def named(name: str) -> list[str]:
    """What the steps between two marks of the page have in bold type: the controls of the console to use."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", PAGE.read_text(), re.DOTALL)
    assert found is not None, f"the quickstart has no steps marked {name}"
    return re.findall(r"\*\*(.+?)\*\*", found[1])


def look(browser: Any, key: str, route: str, reason: str) -> None:
    """The steps of the page in the console: the two newest requests, and one of them opened."""
    field, button, page = named("first-look")
    console = Page(browser, URL)
    console.page.get_by_label(field).fill(key)
    console.page.get_by_role("button", name=button).click()
    console.loaded()
    console.page.get_by_role("link", name=page).click()
    rows = console.page.locator("#requests tbody tr")

    def seen() -> bool:
        newest = rows.all_inner_texts()[:2]
        return len(newest) == 2 and all(route in row and reason in row for row in newest)

    console.eventually(seen)
    rows.first.get_by_role("button").click()
    sheet = console.page.get_by_role("dialog", name="Request")
    sheet.wait_for()
    assert route in sheet.locator("#attempts").inner_text()
    assert reason in sheet.inner_text()
    console.close()


@pytest.mark.timeout(900)
def test_from_clone_to_a_routed_client_that_is_seen_in_the_console(checkout: Path, browser: Any) -> None:
    *install, demo = block("demo")
    client = block("first-client")
    assert len(["git clone", "cd", *install, demo, *client]) <= MOST_COMMANDS
    begun = time.monotonic()
    for command in install:
        run(command, checkout)
    program, *options = demo.split()
    # The port of the page may be taken here.
    gateway = Child([str(checkout / program), *options, "--port", "18080"], checkout / "demo.log", {"PYTHONPATH": ""})
    try:
        gateway.wait_until(lambda: answers(f"{URL}/healthz"), MOST_SECONDS)
        gateway.wait_until(lambda: "with the admin key" in (checkout / "demo.log").read_text(), MOST_SECONDS)
        key = (checkout / "demo.log").read_text().rsplit("with the admin key ", 1)[1].split()[0]
        said = "".join(run(f"export OPENAI_BASE_URL={URL}/v1; {command}", checkout) for command in client)
        (answered,) = re.findall(r"answered by the (\w+), because: (\w+)", said)
        look(browser, key, *answered)
        # What the demo says to try next.
        (unlike,) = re.findall(
            r'The same with "(.+)" goes to the teacher as novel', (checkout / "demo.log").read_text()
        )
        body = {"messages": [{"role": "user", "content": unlike}]}
        sent = httpx2.post(f"{URL}/v1/chat/completions", json=body, timeout=60.0).headers
        assert (sent["x-breakeven-route"], sent["x-breakeven-reason"]) == ("teacher", "novel")
        assert time.monotonic() - begun < MOST_SECONDS
    finally:
        assert gateway.stop() == 0
