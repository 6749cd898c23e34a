"""Gateways forked from one process that has imported their code: most of the CPU time of a start is imports.

The command itself is run where a test starts several workers or changes what can be imported, and by the tests of real
programs.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path

_IMPORTED = [
    "breakeven.gateway.cli.main",
    "breakeven.gateway.server.app",
    "breakeven.gateway.server.startup",
    "breakeven.gateway.server.workers",
    "breakeven.router.features.kernel",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "uvicorn.lifespan.on",
    "uvloop",
]
# One thread, as a gateway of these tests has: the libraries read it when they are imported.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
_context = get_context("forkserver")
_context.set_forkserver_preload(_IMPORTED)


class Forked:
    """`breakeven` with `arguments` in a forked process; of subprocess.Popen's interface, what the tests use."""

    def __init__(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stderr: Path) -> None:
        """`stderr`: the file that its standard error is appended to; its standard output is dropped."""
        self._process = _context.Process(target=_run, args=(list(arguments), str(cwd), dict(env), str(stderr)))
        with _environment():
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("breakeven", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The first start also starts the process that forks, with the environment of that moment."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _run(arguments: list[str], cwd: str, env: dict[str, str], stderr: str) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    nothing = os.open(os.devnull, os.O_RDWR)
    log = os.open(stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for number, opened in ((0, nothing), (1, nothing), (2, log)):
        os.dup2(opened, number)
    os.close(nothing)
    os.close(log)
    # As PYTHONFAULTHANDLER does for a process of its own.
    faulthandler.enable()
    sys.argv = ["breakeven", *arguments]
    from breakeven.gateway.cli.main import main

    main()
