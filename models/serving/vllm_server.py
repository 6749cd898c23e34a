"""Runs a vLLM server for the student: starts it, waits until it is ready, and ends all of its processes.

vLLM consists of several processes. They form a process group, which `Student.stop` ends as a whole.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from breakeven.models.serving.vllm_command import (
    SERVER_FOLDER,
    StudentError,
    check_python,
    command,
    config_section,
    environment,
    tail,
)
from breakeven.models.serving.vllm_progress import Progress

__all__ = ["Student", "StudentError", "check_python", "command", "config_section", "environment"]

READY_SECONDS = 900.0
STOP_SECONDS = 20.0
# How long to wait for killed processes to end.
_KILLED_SECONDS = 5.0


class Student:
    """A vLLM server. As a context manager it is started on entry and stopped on exit.

    `api_key` is the key that it demands; that and other `hidden` texts are taken out of its log, which `progress` sees.

    `base_url` is its API, ending in /v1; after `start`, `max_model_len` is its context window in tokens.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        host: str,
        port: int,
        api_key: str | None = None,
        hidden: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        self._argv = list(argv)
        self._env = dict(env)
        self._url = f"http://{_reachable(host)}:{port}"
        self._process: subprocess.Popen[str] | None = None
        self._log: collections.deque[str] = collections.deque(maxlen=200)
        self._reader: threading.Thread | None = None
        self._key = api_key
        self._hidden = [*([api_key] if api_key else []), *hidden]
        self._progress = progress
        self.base_url = f"{self._url}/v1"
        self.max_model_len: int | None = None

    def start(
        self,
        *,
        ready_seconds: float = READY_SECONDS,
        keep_waiting: Callable[[], bool] = lambda: True,
    ) -> None:
        """Start the server and wait up to `ready_seconds` until it is ready.

        Raises StudentError, and ends its processes, if it exits early, is not ready in time, or `keep_waiting` returns
        False.
        """
        self._process = subprocess.Popen(
            self._argv,
            env=self._env,
            cwd=SERVER_FOLDER,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_log, args=(self._process,), daemon=True)
        self._reader.start()
        try:
            self._wait_ready(time.monotonic() + ready_seconds, keep_waiting)
        except BaseException:
            self.stop()
            raise

    def poll(self) -> int | None:
        """The exit code of the server, or None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def log_tail(self) -> str:
        """The last lines that the server wrote, joined into one."""
        return tail(list(self._log))

    def stop(self, grace_seconds: float = STOP_SECONDS) -> None:
        """End all processes of the server: with SIGTERM, and with SIGKILL after `grace_seconds`."""
        process = self._process
        if process is None:
            return
        self._process = None
        _signal_group(process.pid, signal.SIGTERM)
        _wait_group(process, grace_seconds)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        _wait_group(process, _KILLED_SECONDS)
        if self._reader is not None:
            self._reader.join(5)
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> Student:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        # Keep reading: the server would block on a full pipe.
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in process.stdout:
                shown = line.rstrip()
                for secret in self._hidden:  # vLLM logs its arguments.
                    shown = shown.replace(secret, "[key]")
                self._log.append(shown)
                if self._progress is not None:
                    self._progress.line(shown)

    def _wait_ready(self, deadline: float, keep_waiting: Callable[[], bool]) -> None:
        while True:
            code = self.poll()
            if code is not None:
                if self._reader is not None:
                    self._reader.join(5)
                raise StudentError(f"vLLM ended with code {code} before it was ready: {self.log_tail()}")
            if not keep_waiting():
                raise StudentError("stopped before vLLM was ready")
            if time.monotonic() > deadline:
                raise StudentError(f"vLLM was not ready in time: {self.log_tail()}")
            with contextlib.suppress(urllib.error.URLError, OSError, ValueError):
                self.max_model_len = _max_model_len(self.base_url, self._key)
                return
            if self._progress is not None:
                self._progress.tick()
            time.sleep(0.5)


def _max_model_len(base_url: str, key: str | None = None) -> int | None:
    """The context window in tokens of the server's model. Raises ValueError if the response is not a list of models."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    asked = urllib.request.Request(f"{base_url}/models", headers=headers)  # noqa: S310
    with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310
        body = json.load(answer)
    try:
        window = body["data"][0].get("max_model_len")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ValueError("not a list of models") from None
    return window if isinstance(window, int) else None


def _reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _wait_group(process: subprocess.Popen[str], seconds: float) -> None:
    """Wait until no process of the group is left, at most `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and _group_lives(process):
        time.sleep(0.02)


def _group_lives(process: subprocess.Popen[str]) -> bool:
    process.poll()  # Reaps the leader: as a zombie it would keep its group alive.
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
