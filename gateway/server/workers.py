"""Several server processes on one listening socket: a supervisor starts, monitors and replaces them.

`python -m breakeven.gateway.server.workers` runs one worker process; `Supervisor` gives it its arguments.
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
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from breakeven.gateway.config.schema import Config
from breakeven.gateway.config.upstream import Upstream
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.server.kept_config import KeptConfig
from breakeven.gateway.server.signals import held_reloads, take_reloads
from breakeven.gateway.server.start_report import report_alone

_log = logging.getLogger("breakeven.workers")

_POLL_SECONDS = 0.1
_BACKLOG = 2048
# A worker that exits this soon counts as a failed start; this many in a row stop the gateway.
_MIN_UPTIME_SECONDS = 5.0
_MAX_FAILED_STARTS = 5


class Supervisor:
    """Keeps `server.workers` worker processes running on one socket; serves no request itself."""

    def __init__(self, config: Config, path: Path, log_level: str, listener: socket.socket) -> None:
        """`path` is the config file, which each worker reads itself; `listener` is bound and does not listen yet."""
        self._config = config
        self._path = path
        self._log_level = log_level
        self._listener = listener
        self._folder = tempfile.mkdtemp(prefix="breakeven-workers-")
        self._workers: dict[int, tuple[subprocess.Popen[bytes], float]] = {}
        self._stopping = False
        self._failed_starts = 0
        self._exit_code = 0

    def run(self) -> int:
        """Run until SIGTERM or SIGINT has stopped all workers, or too many starts failed. Returns the exit code."""
        # From here on connections queue in the backlog until the first worker accepts them.
        self._listener.listen(_BACKLOG)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._forward_signal)
        take_reloads()
        try:
            KeptConfig(Path(self._folder)).write(divide_limits(self._config, self._config.server.workers))
            for _ in range(self._config.server.workers):
                self._start(first=True)
            threading.Thread(target=report_alone, args=(self._config,), name="breakeven-start", daemon=True).start()
            while self._workers:
                time.sleep(_POLL_SECONDS)
                self._reap_exited()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return self._exit_code

    def _start(self, *, first: bool = False) -> None:
        """Start a worker. One of the `first` reads the config file; another one has what is in force."""
        server = self._config.server
        arguments = [str(self._path), server.host, str(server.port), self._log_level, str(self._listener.fileno())]
        arguments += [str(os.getpid()), str(server.workers), self._folder, "first" if first else "replacement"]
        with held_reloads():
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "breakeven.gateway.server.workers", *arguments],
                env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": self._folder},
                pass_fds=(self._listener.fileno(),),
            )
        self._workers[process.pid] = (process, time.monotonic())

    def _forward_signal(self, number: int, _: object) -> None:
        self._stopping = self._stopping or number != signal.SIGHUP
        for process, _started in self._workers.values():
            process.send_signal(number)

    def _reap_exited(self) -> None:
        for pid, (process, started) in tuple(self._workers.items()):
            code = process.poll()
            if code is None:
                continue
            del self._workers[pid]
            mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call]
            if self._stopping:
                # A worker that was still starting had no signal handler yet, and no requests either.
                self._exit_code = self._exit_code or (0 if code in (-signal.SIGTERM, -signal.SIGINT) else code)
                continue
            early = time.monotonic() - started < _MIN_UPTIME_SECONDS
            self._failed_starts = self._failed_starts + 1 if early else 0
            _log.error("worker process exited with code %d", code)
            if self._failed_starts >= _MAX_FAILED_STARTS:
                self._exit_code = 1
                self._forward_signal(signal.SIGTERM, None)
            else:
                self._start()


def divide_limits(config: Config, workers: int) -> Config:
    """The config of one of `workers` processes: `max_concurrency` of each upstream divided by them, rounded up."""

    def part(section: Upstream) -> Upstream:
        return section.model_copy(update={"max_concurrency": math.ceil(section.max_concurrency / workers)})

    parts: dict[str, Any] = {str(route): part(section) for route, section in config.upstreams.items()}
    if config.candidate is not None:
        parts["candidate"] = part(config.candidate)
    fallbacks = [part(section) for section in config.teacher.fallbacks]
    parts["teacher"] = parts["teacher"].model_copy(update={"fallbacks": fallbacks})
    return config.model_copy(update={**parts, "models": [part(section) for section in config.models]})


def _exit_with_parent(parent: int) -> None:
    """Send SIGTERM to this process when the supervisor (process id `parent`) has gone: nothing else would stop it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="breakeven-parent", daemon=True).start()


def main(arguments: list[str]) -> int:
    """Run one worker with the arguments that `Supervisor` gives. Returns the exit code."""
    from breakeven.gateway.config.load import check_environment, load_config
    from breakeven.gateway.observability import log
    from breakeven.gateway.server import run as server
    from breakeven.gateway.server.app import create_app
    from breakeven.gateway.server.startup import open_services
    from breakeven.gateway.server.watched_files import WatchedFiles

    files = WatchedFiles()
    path, host, port, log_level, number, parent, workers, folder, place = arguments
    log.configure(log_level)

    def read() -> Config:
        config = load_config(Path(path), files.read)
        given = {"host": host, "port": int(port), "workers": int(workers)}
        config = config.model_copy(update={"server": config.server.model_copy(update=given)})
        check_environment(config)
        return divide_limits(config, int(workers))

    kept, first = KeptConfig(Path(folder)), place == "first"
    try:
        config = read() if first else kept.read()
        artifact, ledger = open_services(config)
    except ConfigError as error:
        _log.error("a worker cannot start: %s", "; ".join(error.faults))
        return 1
    listener = socket.socket(fileno=int(number))
    _exit_with_parent(int(parent))
    # One that has not read the file does so once it serves, as after a change.
    noted = files if first else None
    app = create_app(config, artifact, ledger, read, Path(path), noted, kept.write)
    return server.serve(app, config, listener)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
