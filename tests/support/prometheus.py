"""A real Prometheus that scrapes, or has what was written down before."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from tests.support.processes import Child, answers, free_port
from tests.support.real import program


@contextlib.contextmanager
def prometheus(folder: Path, *, flags: Sequence[str] = (), **targets: str) -> Iterator[str]:
    """Run a Prometheus with its data in `folder`, which scrapes each target each second as a job of that name; yields
    its URL.
    """
    binary, url = program("prometheus"), f"http://127.0.0.1:{free_port()}"
    jobs = [{"job_name": name, "static_configs": [{"targets": [target]}]} for name, target in targets.items()]
    config = folder / "prometheus.yml"
    every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config.write_text(yaml.safe_dump({"global": every, "scrape_configs": jobs}))
    command = [binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", *flags]
    child = Child([*command, f"--web.listen-address={url.removeprefix('http://')}"], folder / "prometheus.log")
    try:
        child.wait_until(lambda: answers(f"{url}/-/ready"))
        yield url
    finally:
        child.stop()


def backfill(samples: Path, folder: Path) -> None:
    """Store samples, a file in OpenMetrics' text format with times, in the data of the Prometheus of `folder`."""
    command = [
        program("promtool"),
        "tsdb",
        "create-blocks-from",
        "--quiet",
        "--max-block-duration=1000h",
        "openmetrics",
    ]
    done = subprocess.run([*command, str(samples), str(folder / "tsdb")], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
