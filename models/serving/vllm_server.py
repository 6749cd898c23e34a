"""Runs a real vLLM server for the student: starts it, waits until it answers, ends all of it.

vLLM is several processes; they form a process group of their own, which `Student.stop` ends as a whole.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType

from breakeven.models.serving.vllm_command import (
    PYTHON_ENV,
    SERVER_FOLDER,
    StudentError,
    check_python,
    command,
    config_section,
    environment,
    tail,
)

__all__ = ["Student", "StudentError", "check_python", "command", "config_section", "environment", "run_student"]

READY_SECONDS = 900.0
STOP_SECONDS = 20.0
# A killed process takes a moment to go.
_KILLED_SECONDS = 5.0


class Student:
    """A running vLLM server. As a context it is started on entry and stopped on exit.

    After `start`, `base_url` is its API with /v1 and `max_model_len` the context window that it serves.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], *, host: str, port: int) -> None:
        self._argv = list(argv)
        self._env = dict(env)
        self._url = f"http://{_reachable(host)}:{port}"
        self._process: subprocess.Popen[str] | None = None
        self._log: collections.deque[str] = collections.deque(maxlen=200)
        self._reader: threading.Thread | None = None
        self.base_url = f"{self._url}/v1"
        self.max_model_len: int | None = None

    def start(
        self,
        *,
        ready_seconds: float = READY_SECONDS,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Start the server and wait until it answers.

        Raises StudentError where it ends early, is not ready in time, or is no longer `wanted`; nothing
        is left running then.
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
            self._wait_ready(time.monotonic() + ready_seconds, wanted)
        except BaseException:
            self.stop()
            raise

    def poll(self) -> int | None:
        """The exit code where the server has ended, None while it runs."""
        return None if self._process is None else self._process.poll()

    def logtail(self) -> str:
        """The last lines that the server wrote."""
        return tail(list(self._log))

    def stop(self, grace_seconds: float = STOP_SECONDS) -> None:
        """End the server and all its processes: SIGTERM, and SIGKILL after a grace period."""
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
        # Read on, or the server would stop at a full pipe.
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in process.stdout:
                self._log.append(line.rstrip())

    def _wait_ready(self, deadline: float, wanted: Callable[[], bool]) -> None:
        while True:
            code = self.poll()
            if code is not None:
                if self._reader is not None:
                    self._reader.join(5)
                raise StudentError(f"vLLM ended with code {code} before it was ready: {self.logtail()}")
            if not wanted():
                raise StudentError("stopped before vLLM was ready")
            if time.monotonic() > deadline:
                raise StudentError(f"vLLM was not ready in time: {self.logtail()}")
            with contextlib.suppress(urllib.error.URLError, OSError, ValueError):
                self.max_model_len = _max_model_len(self.base_url)
                return
            time.sleep(0.5)


def run_student(
    model: Path,
    *,
    cpu: bool,
    host: str,
    port: int,
    name: str,
    max_model_len: int | None,
    python: str | None,
    say: Callable[[str], None],
) -> int:
    """Serve the student in the foreground until SIGINT or SIGTERM; the exit code.

    0 after a signal, 1 where the server ended by itself. Raises StudentError where it does not start.
    A port of 0 takes a free one. `python` is by default what BREAKEVEN_VLLM_PYTHON names, or this one.
    """
    if not (model / "config.json").is_file():
        raise StudentError(f"{model}: no model directory (it must hold config.json, weights and tokenizer)")
    chosen = check_python(python or os.environ.get(PYTHON_ENV) or None)
    port = _free_port(host, port)
    argv = command(
        model.resolve(), name=name, host=host, port=port, cpu=cpu, max_model_len=max_model_len, python=chosen
    )
    student = Student(argv, environment(cpu), host=host, port=port)
    with _stop_signals() as stop:
        say(f"starting vLLM with {model} on {host}:{port}; this may take minutes")
        try:
            student.start(wanted=lambda: not stop.asked)
        except StudentError:
            if stop.asked:
                return 0
            raise
        try:
            section = config_section(base_url=student.base_url, name=name, max_model_len=student.max_model_len)
            say(f"ready. For breakeven.yaml:\n\n{section}")
            while not stop.asked:
                time.sleep(0.2)
                if student.poll() is not None:
                    say(f"vLLM ended with code {student.poll()}: {student.logtail()}")
                    return 1
            say("stopping vLLM")
            return 0
        finally:
            student.stop()


class _Stop:
    """Whether a signal asked to stop. No event: its lock could be held when the signal comes."""

    asked = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


@contextlib.contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Notes SIGINT and SIGTERM, in place of what they did before."""
    stop = _Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StudentError(f"can't listen on {host}:{port}: {error.strerror}; choose another --port") from None
        return int(probe.getsockname()[1])


def _max_model_len(base_url: str) -> int | None:
    """The context window of the one model that the server has; ValueError where the answer is no list."""
    with urllib.request.urlopen(f"{base_url}/models", timeout=5) as answer:  # noqa: S310
        body = json.load(answer)
    try:
        window = body["data"][0].get("max_model_len")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ValueError("not a list of models") from None
    return window if isinstance(window, int) else None


def _reachable(host: str) -> str:
    """Where this machine reaches a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _wait_group(process: subprocess.Popen[str], seconds: float) -> None:
    """Until no process of the group is left, at most that long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and _group_lives(process):
        time.sleep(0.02)


def _group_lives(process: subprocess.Popen[str]) -> bool:
    process.poll()  # Reaps the leader: a zombie would keep its group.
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
