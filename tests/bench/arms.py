"""The gateways that are compared ("arms"), all in front of the same upstream, each started as a process tree of its
own.

BREAKEVEN_BENCH_BEFORE names the `breakeven` program of another version, to be measured beside this one. Peers are
found by environment variables and on the PATH; missing ones are left out, with a message:
BREAKEVEN_BENCH_LITELLM and BREAKEVEN_BENCH_VLLM_ROUTER (commands), BREAKEVEN_BENCH_PORTKEY (a start-server.js), nginx.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.processes import BREAKEVEN

KEY = "sk-bench-key-of-a-client-0123456789"
_START_SECONDS = 90.0


@dataclass
class Arm:
    """One gateway, or the direct connection to the upstream. `headers` are those that its client must send."""

    name: str
    does: str
    command: list[str]
    port: int
    version: str
    headers: dict[str, str] = field(default_factory=dict)
    start_seconds: float = 0.0
    rest_bytes: int = 0
    process: psutil.Process | None = None

    def cpu_seconds(self) -> float:
        """The CPU seconds (user and system) of the process tree so far; 0 for the direct connection."""
        return sum(_cpu_seconds(process) for process in self._tree())

    def cpu_by_process(self) -> list[float]:
        """The CPU seconds so far of each process of the tree."""
        return [_cpu_seconds(process) for process in self._tree()]

    def memory_bytes(self) -> int:
        """The resident memory of the process tree, in bytes."""
        return sum(p.memory_info().rss for p in self._tree())

    def _tree(self) -> list[psutil.Process]:
        if self.process is None:
            return []
        return [self.process, *self.process.children(recursive=True)]


def available(upstream: int, folder: Path) -> tuple[list[Arm], list[str]]:
    """The arms that can be started on this machine, and messages on why the others cannot."""
    arms = [Arm("direct", "no gateway", [], upstream, ""), breakeven(upstream, folder)]
    before = os.environ.get("BREAKEVEN_BENCH_BEFORE")
    if before is not None:
        arms.append(breakeven(upstream, folder, name="Breakeven before", program=(before,)))
    missing = []
    for name, make in (("nginx", _nginx), ("vllm-router", _vllm_router), ("Portkey", _portkey), ("LiteLLM", _litellm)):
        arm = make(upstream, folder)
        if arm is None:
            missing.append(f"{name}: not found")
        else:
            arms.append(arm)
    return arms, missing


@contextlib.contextmanager
def started(
    arm: Arm, folder: Path, cores: Sequence[int] | None, within_seconds: float = _START_SECONDS
) -> Iterator[Arm]:
    """Start an arm, pinned to `cores` if given, wait until it is ready, and end it with the context."""
    if not arm.command:
        yield arm
        return
    log = (folder / f"{arm.name}.log").open("wb")
    begun = time.monotonic()
    process = subprocess.Popen(arm.command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    arm.process = psutil.Process(process.pid)
    if cores is not None:
        arm.process.cpu_affinity(list(cores))
    try:
        while not _listens(arm.port):
            if process.poll() is not None or time.monotonic() - begun > within_seconds:
                raise RuntimeError(f"{arm.name} did not start; see {log.name}")
            time.sleep(0.02)
        arm.start_seconds = time.monotonic() - begun
        time.sleep(1.0)
        arm.rest_bytes = arm.memory_bytes()
        yield arm
    finally:
        tree = arm._tree() if process.poll() is None else []
        for one in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.terminate()
        _, alive = psutil.wait_procs(tree, timeout=10)
        for one in alive:
            one.kill()
        process.wait(10)
        arm.process = None
        log.close()


@contextlib.contextmanager
def others_paused(arm: Arm, arms: Sequence[Arm]) -> Iterator[None]:
    """Pause the other arms (SIGSTOP) while the context is open: all share a core, and some use it even when idle."""
    others = [process for other in arms if other is not arm for process in other._tree()]
    try:
        for process in others:
            process.suspend()
        yield
    finally:
        for process in others:
            process.resume()


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        # The scheduler's counters are in nanoseconds; the CPU times of psutil have a resolution of 10 ms.
        folder = Path(f"/proc/{process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in folder.iterdir()) / 1e9
    except (OSError, ValueError, IndexError):
        times = process.cpu_times()
        return float(times.user + times.system)


def free_port() -> int:
    """A free port on 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int) -> None:
    """Wait until a port accepts connections. Raises RuntimeError on a timeout."""
    end = time.monotonic() + _START_SECONDS
    while not _listens(port):
        if time.monotonic() > end:
            raise RuntimeError(f"nobody listens on port {port}")
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def breakeven(
    upstream: int,
    folder: Path,
    *,
    name: str = "Breakeven",
    workers: int = 1,
    keys: int = 1,
    concurrency: int = 2000,
    program: Sequence[str] = BREAKEVEN,
) -> Arm:
    """Breakeven, started by `program`, with this many client `keys`, of which the last is used, and upstreams that take
    `concurrency` requests at once.

    All features are on but comparisons, which would send requests that no other arm sends.
    """
    port = free_port()
    config = folder / f"{name.replace(' ', '-')}.yaml"
    url = f"http://127.0.0.1:{upstream}/v1"
    others = [{"name": f"key-{n}", "sha256": hashlib.sha256(b"key %d" % n).hexdigest()} for n in range(keys - 1)]
    bench = {"name": "bench", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}
    config.write_text(
        f"server: {{port: {port}, workers: {workers}}}\n"
        f"student: {{base_url: '{url}', model: bench, hosting_usd_per_hour: 1.2, max_concurrency: {concurrency}}}\n"
        f"teacher: {{base_url: '{url}', model: big, max_concurrency: {concurrency},\n"
        "  usd_per_million: {input: 15, output: 60}}\n"
        f"ledger: {{url: 'sqlite:///{config.stem}.db'}}\n"
        f"auth: {json.dumps({'keys': [*others, bench]})}\n"
        "routing: {threshold: 0.5}\n"
        # Other versions have no such section.
        f"{'road: {sample: 0}' if tuple(program) == BREAKEVEN else ''}\n"
    )
    command = [*program, "serve", "--config", str(config)]
    does = "authenticates, decides with the trained classifier and novelty, accounts to SQLite, exports, logs"
    return Arm(name, does, command, port, _version([sys.executable, "-m", "pip", "show", "breakeven"], 1))


def _nginx(upstream: int, folder: Path) -> Arm | None:
    if shutil.which("nginx") is None:
        return None
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; user root; worker_processes 1; error_log {folder}/nginx-error.log; pid {folder}/nginx.pid;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; client_max_body_size 64m; client_body_temp_path {folder}/body;\n"
        f"proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;\n"
        f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"upstream u {{ server 127.0.0.1:{upstream}; keepalive 1024; }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://u; proxy_http_version 1.1;\n"
        "proxy_set_header Connection ''; proxy_buffering off; } } }\n"
    )
    command = ["nginx", "-c", str(config), "-p", str(folder)]
    return Arm("nginx", "passes bytes through", command, port, _version(["nginx", "-v"], 0))


def _vllm_router(upstream: int, folder: Path) -> Arm | None:
    program = os.environ.get("BREAKEVEN_BENCH_VLLM_ROUTER") or shutil.which("vllm-router")
    if program is None:
        return None
    port = free_port()
    command = [program, "--worker-urls", f"http://127.0.0.1:{upstream}", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--policy", "round_robin", "--prometheus-port", str(free_port()), "--log-level", "error"]
    does = "balances over workers; no classifier, no accounting"
    return Arm("vllm-router", does, command, port, _pip_version(program, "vllm-router"))


def _portkey(upstream: int, folder: Path) -> Arm | None:
    script = os.environ.get("BREAKEVEN_BENCH_PORTKEY")
    if script is None or shutil.which("node") is None:
        return None
    port = free_port()
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
    }
    package = Path(script).parents[1] / "package.json"
    version = package.read_text().split('"version": "', 1)[1].split('"', 1)[0]
    command = ["node", script, f"--port={port}", "--headless"]
    return Arm("Portkey", "translates and passes through", command, port, version, headers)


def _litellm(upstream: int, folder: Path) -> Arm | None:
    program = os.environ.get("BREAKEVEN_BENCH_LITELLM") or shutil.which("litellm")
    if program is None:
        return None
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: auto\n    litellm_params:\n      model: openai/bench\n"
        f"      api_base: http://127.0.0.1:{upstream}/v1\n      api_key: none\n"
        f"general_settings:\n  master_key: {KEY}\n"
    )
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    does = "authenticates, routes by model name, counts cost in memory; no database"
    return Arm("LiteLLM", does, command, port, _pip_version(program, "litellm"))


def _pip_version(program: str, package: str) -> str:
    return _version([str(Path(program).with_name("python")), "-m", "pip", "show", package], 1)


def _version(command: list[str], line: int) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[line].replace("Version: ", "").replace("nginx version: nginx/", "") if len(lines) > line else "?"
