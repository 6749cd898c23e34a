"""Several server processes on one socket: started, watched and replaced by a parent that serves nothing itself.

`python -m gateway.workers` is one of them; the parent's command line is its.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from breakeven.gateway.config.schema import Config

_log = logging.getLogger("breakeven.workers")

_POLL_SECONDS = 0.1
_BACKLOG = 2048
# A worker that ends this soon did not start; this many such ends in a row end the gateway.
_STARTED_SECONDS = 5.0
_FAILED_STARTS = 5


class Supervisor:
    """Keeps `server.workers` processes running until it is told to stop."""

    def __init__(self, config: Config, path: Path, log_level: str, listener: socket.socket) -> None:
        self._config = config
        self._path = path
        self._log_level = log_level
        self._listener = listener
        self._folder = tempfile.mkdtemp(prefix="breakeven-workers-")
        self._workers: dict[int, tuple[subprocess.Popen[bytes], float]] = {}
        self._stopping = False
        self._failed_starts = 0
        self._code = 0

    def run(self) -> int:
        """Until SIGTERM or SIGINT and the end of all workers. Returns the exit code."""
        # From here on connections wait in the backlog for the first worker.
        self._listener.listen(_BACKLOG)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        try:
            for _ in range(self._config.server.workers):
                self._start()
            while self._workers:
                time.sleep(_POLL_SECONDS)
                self._look()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return self._code

    def _start(self) -> None:
        server = self._config.server
        arguments = [str(self._path), server.host, str(server.port), self._log_level, str(self._listener.fileno())]
        arguments += [str(os.getpid()), str(server.workers)]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "breakeven.gateway.server.workers", *arguments],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": self._folder},
            pass_fds=(self._listener.fileno(),),
        )
        self._workers[process.pid] = (process, time.monotonic())

    def _pass_on(self, number: int, _: object) -> None:
        self._stopping = self._stopping or number != signal.SIGHUP
        for process, _started in self._workers.values():
            process.send_signal(number)

    def _look(self) -> None:
        for pid, (process, started) in tuple(self._workers.items()):
            code = process.poll()
            if code is None:
                continue
            del self._workers[pid]
            mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call]
            if self._stopping:
                # One that was still starting had no handler yet; it had no request either.
                self._code = self._code or (0 if code in (-signal.SIGTERM, -signal.SIGINT) else code)
                continue
            early = time.monotonic() - started < _STARTED_SECONDS
            self._failed_starts = self._failed_starts + 1 if early else 0
            _log.error("a worker ended with code %d", code)
            if self._failed_starts >= _FAILED_STARTS:
                self._code = 1
                self._pass_on(signal.SIGTERM, None)
            else:
                self._start()


def share(config: Config, workers: int) -> Config:
    """One worker's part of what holds for the whole gateway."""
    parts = {
        name: section.model_copy(update={"max_concurrency": math.ceil(section.max_concurrency / workers)})
        for name, section in (("student", config.student), ("teacher", config.teacher))
    }
    return config.model_copy(update=parts)


def _end_with(parent: int) -> None:
    """A worker whose parent was killed ends as well: nobody would stop it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="breakeven-parent", daemon=True).start()


def main(arguments: list[str]) -> int:
    """One worker."""
    from breakeven.gateway.config.load import check_environment, load_config
    from breakeven.gateway.observability import log
    from breakeven.gateway.server import run as server
    from breakeven.gateway.server.app import create_app
    from breakeven.gateway.server.startup import open_services

    path, host, port, log_level, number, parent, workers = arguments
    log.configure(log_level)

    def read() -> Config:
        config = load_config(Path(path))
        given = {"host": host, "port": int(port), "workers": int(workers)}
        config = config.model_copy(update={"server": config.server.model_copy(update=given)})
        check_environment(config)
        return share(config, int(workers))

    config = read()
    listener = socket.socket(fileno=int(number))
    artifact, ledger = open_services(config)
    _end_with(int(parent))
    return server.serve(create_app(config, artifact, ledger, read=read, path=Path(path)), config, listener)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
