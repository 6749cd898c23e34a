"""The `breakeven` command itself."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess

from tests.support.processes import BREAKEVEN, CHECKOUT

ENV = {**os.environ, "PYTHONPATH": CHECKOUT}


def test_version_is_that_of_the_installed_package() -> None:
    done = subprocess.run([*BREAKEVEN, "--version"], capture_output=True, text=True, env=ENV, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"breakeven {importlib.metadata.version('breakeven')}\n"


def test_without_a_command_it_prints_its_help() -> None:
    done = subprocess.run(BREAKEVEN, capture_output=True, text=True, env=ENV, timeout=60)
    for command in ("serve", "check", "report", "plan", "distill", "--version"):
        assert command in done.stdout + done.stderr
