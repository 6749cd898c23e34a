"""Runs the student in the foreground, as `breakeven student` does: checks, advice, progress, and an end by a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from breakeven.models.serving.vllm_advice import advice, gpu_memory, tool_parser
from breakeven.models.serving.vllm_command import (
    PYTHON_ENV,
    StudentError,
    check_extra,
    check_python,
    command,
    config_section,
    environment,
    key_of,
    value_of,
    with_whole_paths,
)
from breakeven.models.serving.vllm_model import served_model
from breakeven.models.serving.vllm_progress import Progress
from breakeven.models.serving.vllm_server import Student


def run_student(
    model: Path | str,
    *,
    cpu: bool,
    host: str,
    port: int,
    name: str,
    max_model_len: int | None,
    python: str | None,
    say: Callable[[str], None],
    extra: Sequence[str] = (),
    enable_thinking: bool | None = None,
) -> int:
    """Serve the student in the foreground until SIGINT or SIGTERM. Returns the exit code.

    That is 0 after a signal, 1 if the server exited. `model` is a directory or a name on the hub. Port 0 takes a free
    one; `python` is by default the interpreter in the environment variable BREAKEVEN_VLLM_PYTHON, or this one; `say`
    prints a message; `extra` are flags for vLLM. See `command` for the other arguments. Raises StudentError if the
    server does not start.
    """
    check_extra(extra)
    extra = with_whole_paths(extra)
    asked = str(model)
    if Path(asked).is_dir():
        served_model(asked, "")  # Before the interpreter is looked at, which takes seconds.
    chosen = check_python(python or os.environ.get(PYTHON_ENV) or None)
    served = served_model(asked, chosen)
    port = _free_port(host, port)
    parser = None if "--no-enable-auto-tool-choice" in extra else tool_parser(served)
    argv = command(
        served.name,
        name=name,
        host=host,
        port=port,
        cpu=cpu,
        max_model_len=max_model_len,
        tool_call_parser=parser,
        enable_thinking=enable_thinking,
        extra=extra,
        python=chosen,
        revision=served.revision,
    )
    key = key_of(extra, os.environ)
    env = environment(cpu, hub=served.folder is None or os.environ.get("HF_HUB_OFFLINE") == "0")
    hidden = [secret for secret in (value_of(extra, "--hf-token"),) if secret]
    student = Student(argv, env, host=host, port=port, api_key=key, hidden=hidden, progress=Progress(say))
    with _stop_signals() as stop:
        say(f"starting vLLM with {model} on {host}:{port}; this can take minutes")
        for line in advice(served, extra, [] if cpu else gpu_memory(), enable_thinking, cpu=cpu):
            say(line)
        try:
            student.start(keep_waiting=lambda: not stop.received)
        except StudentError:
            if stop.received:
                return 0
            raise
        return _serve(student, name, tools=parser is not None, api_key=key is not None, stop=stop, say=say)


def _serve(
    student: Student, name: str, *, tools: bool, api_key: bool, stop: _StopSignal, say: Callable[[str], None]
) -> int:
    """Print the config for a started server, wait for a signal or its end, and stop it. Returns the exit code."""
    try:
        section = config_section(
            base_url=student.base_url, name=name, max_model_len=student.max_model_len, tools=tools, api_key=api_key
        )
        say(f"ready. For breakeven.yaml:\n\n{section}")
        while not stop.received:
            time.sleep(0.2)
            if student.poll() is not None:
                say(f"vLLM ended with code {student.poll()}: {student.log_tail()}")
                return 1
        say("stopping vLLM")
        return 0
    finally:
        student.stop()


class _StopSignal:
    """Whether a signal arrived. Not a threading.Event, whose lock could be held when a handler runs."""

    received = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.received = True


@contextlib.contextmanager
def _stop_signals() -> Iterator[_StopSignal]:
    """Handles SIGINT and SIGTERM by recording them, and restores the previous handlers at the end."""
    stop = _StopSignal()
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
            raise StudentError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
        return int(probe.getsockname()[1])
