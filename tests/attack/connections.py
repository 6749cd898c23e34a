"""Strangers and clients with many connections, and a log that nobody reads: others are served, nothing is cut."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import re
import socket
import statistics
import subprocess
import sys
import time

from breakeven.gateway.server.connections import raise_file_limit
from tests.attack.result import Attack, Result, Setting
from tests.contract.client import eventually
from tests.contract.gateway import ROOT, Gateway, chat, running
from tests.contract.scripted import DONE, End, Head, ScriptedUpstream, Send, Sleep, delta
from tests.support.processes import answers

STREAMS, SILENT = 700, 1200
# What the gateway runs with: soft and hard limit of open files.
SCRIPT = (
    "import resource as r; h = r.getrlimit(r.RLIMIT_NOFILE)[1];"
    "r.setrlimit(r.RLIMIT_NOFILE, (1024, {hard}));"
    "from breakeven.gateway.cli.main import main; main()"
)
SSE = {"content-type": "text/event-stream"}
F_SETPIPE_SZ = 1031


def limited(hard: str) -> tuple[str, ...]:
    """The command of a gateway with 1,024 files, and as `hard` limit this Python expression, in which h is today's."""
    return ("-c", SCRIPT.format(hard=hard), "serve")


async def _stream(port: int, body: bytes) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        answer = await asyncio.wait_for(reader.read(), 120)
        writer.close()
    except (OSError, TimeoutError):
        return False
    return answer.startswith(b"HTTP/1.1 200") and DONE in answer and b'"error"' not in answer


async def _streams(port: int, count: int) -> int:
    body = b'{"model": "auto", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
    return sum(await asyncio.gather(*(_stream(port, body) for _ in range(count))))


def _many_streams(name: str, setting: Setting, hard: str) -> Result:
    raise_file_limit()
    timeouts = {
        "timeouts": {"connect_seconds": 20, "first_event_seconds": 60, "idle_seconds": 60, "total_seconds": 120}
    }
    changes = {"student": {**timeouts, "max_concurrency": 2000, "breaker": {"consecutive_failures": 3}}}
    with running(setting.folder, changes, command=limited(hard), log_level="warning") as gateway:
        pause = min(3.0, setting.seconds / 5)
        gateway.student.default(
            Head(200, SSE), Send(delta("1")), Sleep(pause), Send(delta("", finish="stop") + DONE), End()
        )
        started = time.monotonic()
        whole = asyncio.run(_streams(gateway.port, STREAMS))
        took = time.monotonic() - started
        metrics = gateway.metrics()
        opened = metrics['breakeven_circuit_open{upstream="student"}']
        said = "others wait" in gateway.log.read_text()
    figures = {
        "whole streams": f"{whole} of {STREAMS}",
        "circuit": "open" if opened else "closed",
        "files": f"{metrics['breakeven_open_files_limit']:.0f}",
        "said that some wait": str(said),
        "streams took": f"{took:.1f} s",
    }
    return Result(name, whole == STREAMS and not opened, figures)


def streams_at_soft_limit(setting: Setting) -> Result:
    """700 streams at once where the shell allows 1,024 files and the system more."""
    return _many_streams("streams_at_soft_limit", setting, "h")


def streams_at_hard_limit(setting: Setting) -> Result:
    """700 streams at once where nothing allows more than 1,024 files."""
    return _many_streams("streams_at_hard_limit", setting, "1024")


def silent_connections(setting: Setting) -> Result:
    """A stranger opens 1,200 connections to a gateway with 1,024 files and says nothing; others want to be served."""
    raise_file_limit()
    with (
        running(setting.folder, command=limited("1024"), log_level="warning") as gateway,
        contextlib.ExitStack() as open_,
    ):
        for _ in range(SILENT):
            open_.enter_context(contextlib.closing(socket.create_connection(("127.0.0.1", gateway.port), 20)))
        waits, failed = [], 0
        deadline = time.monotonic() + min(setting.seconds, 15)
        while time.monotonic() < deadline or len(waits) < 50:
            started = time.monotonic()
            try:
                failed += gateway.post(chat()).status != 200
            except (OSError, EOFError):
                failed += 1
            waits.append(time.monotonic() - started)
        metrics = gateway.metrics()
        closed = metrics['breakeven_connections_closed_total{why="full"}']
        gone = eventually(lambda: gateway.metrics()["breakeven_connections"] < 20, 60)
        said = "in use" in gateway.log.read_text()
    p99 = statistics.quantiles(waits, n=100)[98]
    figures = {
        "requests of others": str(len(waits)),
        "failed": str(failed),
        "others' p99": f"{p99 * 1000:.0f} ms",
        "closed for others": f"{closed:.0f}",
        "said": str(said),
    }
    return Result("silent_connections", failed == 0 and p99 < 3.0 and bool(gone) and said, figures)


def unread_log(setting: Setting) -> Result:
    """Nobody reads the pipe that standard error is."""
    asked = 500
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        gateway = Gateway(setting.folder, student, teacher, log_level="info")
        gateway.write_config()
        command = [sys.executable, "-m", "breakeven.gateway.cli", "serve", *gateway._arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=gateway.environment, stderr=subprocess.PIPE)
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, F_SETPIPE_SZ, 4096)
        gateway.process = process
        try:
            while (found := re.search(rb"listens on http://[^ \n]*:(\d+)", process.stderr.readline())) is None:
                pass
            gateway.port = int(found[1])
            eventually(lambda: answers(f"http://127.0.0.1:{gateway.port}/healthz"), 30)
            waits = []
            for _ in range(asked):
                started = time.monotonic()
                assert gateway.post(chat(user="x" * 3000)).status == 200
                waits.append(time.monotonic() - started)
            more = 0
            # Each line has a kilobyte or so; some megabytes of them are kept.
            while more < 8000 and not (more % 250 == 0 and gateway.metrics()["breakeven_log_lines_lost_total"]):
                more += 1
                assert gateway.post(chat()).status == 200
            lost = gateway.metrics()["breakeven_log_lines_lost_total"]
            stored = eventually(lambda: len(gateway.rows("select id from requests")) == asked + more, 60)
        finally:
            process.terminate()
            code = process.wait(30)
            process.stderr.close()
    figures = {
        "answered": str(asked + more),
        "lines lost": f"{lost:.0f}",
        "p99": f"{statistics.quantiles(waits, n=100)[98] * 1000:.0f} ms",
        "exit code": str(code),
    }
    return Result("unread_log", lost > 0 and bool(stored) and code == 0, figures)


ATTACKS: dict[str, Attack] = {
    one.__name__: one for one in (streams_at_soft_limit, streams_at_hard_limit, silent_connections, unread_log)
}
