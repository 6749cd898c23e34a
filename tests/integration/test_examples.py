"""The programs in examples/, each run against a live gateway as its README says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.processes import ROOT
from tests.support.real import node_modules

EXAMPLES = ROOT / "examples"
QUESTION = 'Where is my order "76175"?'
ANSWER = "It leaves the warehouse today."
ADMIN = "the-admin-key"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Gateway]:
    folder = tmp_path_factory.mktemp("examples")
    rows = [{"prompt": QUESTION, "answer": ANSWER, "prompt_tokens": 12, "output_tokens": 6}]
    with (
        processes.replay(folder, "student", rows) as student,
        processes.replay(folder, "teacher-model", rows) as teacher,
        processes.gateway(folder, processes.make_config(student, teacher), {"BREAKEVEN_ADMIN_KEY": ADMIN}) as running,
    ):
        yield running


def run(gateway: processes.Gateway, folder: Path, *command: str, **more: str) -> str:
    environment: Mapping[str, str] = {
        **os.environ, "OPENAI_BASE_URL": gateway.base_url, "BREAKEVEN_URL": gateway.url, **more,
    }  # fmt: skip
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_python(gateway: processes.Gateway, tmp_path: Path) -> None:
    said = run(gateway, tmp_path, sys.executable, str(EXAMPLES / "chat.py"), QUESTION)
    assert said.count(ANSWER) == 2
    assert "answered by the student, because: easy" in said


def test_node(gateway: processes.Gateway, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules())
    shutil.copy(EXAMPLES / "chat.mjs", tmp_path)
    said = run(gateway, tmp_path, "node", "chat.mjs", QUESTION)
    assert said.count(ANSWER) == 2
    assert "answered by the student, because: easy" in said


def test_curl(gateway: processes.Gateway, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is absent; install it")
    said = run(gateway, tmp_path, "sh", str(EXAMPLES / "chat.sh"), QUESTION)
    assert "x-breakeven-route: student" in said
    assert ANSWER in said
    assert said.rstrip().endswith("data: [DONE]")


def test_notebook(gateway: processes.Gateway, tmp_path: Path) -> None:
    notebook = json.loads((EXAMPLES / "savings.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    (tmp_path / "notebook.py").write_text("\n\n".join(cells))
    said = run(
        gateway, tmp_path, sys.executable, "notebook.py", BREAKEVEN_ADMIN_KEY=ADMIN, MPLBACKEND="agg", PYTHONPATH=""
    )
    assert "saved not measured yet: 50 more comparisons" in said
    assert (tmp_path / "savings.png").stat().st_size > 5_000


def test_the_readme_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text()
    files = {path.name for path in EXAMPLES.iterdir()} - {"README.md"}
    assert {name for name in files if f"`{name}`" in text} == files
