"""Runs a driver of this folder with the Python or Node of its client, against a live gateway."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT

HERE = Path(__file__).parent
SNIPPETS = ROOT / "docs/snippets"
# The address in the documentation, without the path.
ADDRESS = "http://127.0.0.1:8080"
_SECONDS = 120.0
# Nothing is sent to anyone but the gateway.
QUIET = {"DO_NOT_TRACK": "1", "LANGSMITH_TRACING": "false", "OPENAI_AGENTS_DISABLE_TRACING": "1", "HF_HUB_OFFLINE": "1"}


def snippet(name: str, url: str) -> str:
    """A snippet of the documentation with the URL of a gateway in it."""
    text = (SNIPPETS / name).read_text(encoding="utf-8")
    assert text.count(ADDRESS) == 1, f"{name} names the gateway's address once"
    return text.replace(ADDRESS, url)


def run_python(python: Path, name: str, url: str, folder: Path) -> dict[str, Any]:
    """The output of drive_NAME.py, by way of asking."""
    path = folder / "snippet.py"
    path.write_text(snippet(f"{name}.py", url), encoding="utf-8")
    return _run([str(python), "-P", str(HERE / f"drive_{name}.py"), str(path)], folder, {"PYTHONPATH": str(HERE)})


def run_node(modules: Path, name: str, url: str, folder: Path) -> dict[str, Any]:
    """The output of drive_NAME.mjs, by way of asking."""
    text = snippet(f"{name}.mjs", url)
    names = ", ".join(re.findall(r"^const (\w+)", text, re.MULTILINE))
    (folder / "snippet.mjs").write_text(f"{text}\nexport {{ {names} }};\n", encoding="utf-8")
    # Modules of Node look for packages beside their own files.
    (folder / "node_modules").symlink_to(modules)
    for file in ("driving.mjs", f"drive_{name}.mjs"):
        shutil.copy(HERE / file, folder)
    return _run(["node", str(folder / f"drive_{name}.mjs"), f"{url}/v1"], folder, {})


def hermetic(home: Path) -> dict[str, str]:
    """This environment with another home, and without what leads a client elsewhere than its settings say."""
    others = ("OPENAI_", "ANTHROPIC_", "CLAUDE")
    names = (name for name in os.environ if not name.startswith(others) and not name.upper().endswith("_PROXY"))
    return {**{name: os.environ[name] for name in names}, **QUIET, "HOME": str(home)}


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    env = {**hermetic(folder), **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, timeout=_SECONDS)
    assert done.returncode == 0, done.stderr[-6000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
