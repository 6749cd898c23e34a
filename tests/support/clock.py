"""Simulated time for the gateway's processes, which read it from a file."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from tests.support.processes import CHECKOUT


class Clock:
    """Start a gateway with the environment `env`: its `time.time_ns` then returns the time that was set last."""

    def __init__(self, folder: Path, start: datetime.datetime) -> None:
        self._file = folder / "now"
        (folder / "sitecustomize.py").write_text(
            "import time\n"
            f"def time_ns(path={str(self._file)!r}):\n"
            "    with open(path) as file:\n"
            "        return int(file.read())\n"
            "time.time_ns = time_ns\n"
        )
        self.env = {"PYTHONPATH": f"{folder}{os.pathsep}{CHECKOUT}"}
        self.set(start)

    def set(self, moment: datetime.datetime) -> None:
        """Set the time, in whole seconds."""
        new = self._file.with_suffix(".new")
        new.write_text(str(int(moment.timestamp()) * 10**9))
        os.replace(new, self._file)
