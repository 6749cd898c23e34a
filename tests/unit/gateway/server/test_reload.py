"""Config reload: changes made between reading the config at startup and watching its file."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from breakeven.gateway.config.load import load_config
from breakeven.gateway.config.schema import Config
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.server.reload import Current
from breakeven.gateway.server.startup import open_services
from breakeven.router.model import artifact
from tests.support import processes


def _other_threshold(folder: Path) -> None:
    path = folder / "breakeven.yaml"
    config = yaml.safe_load(path.read_text())
    config["routing"]["threshold"] = 0.25
    path.write_text(yaml.safe_dump(config))


def _other_artifact(folder: Path) -> None:
    trained = folder / "router"
    metadata = json.loads((trained / "metadata.json").read_text())
    with np.load(io.BytesIO((trained / "weights.npz").read_bytes())) as weights:
        arrays = dict(weights)
    del metadata["hash"]
    artifact.write(trained, arrays, metadata | {"made_by": "a second training run"}, "card")


async def _watch_until_reloaded(current: Current) -> None:
    """Run `watch` until other services are in force. Raises TimeoutError after 10 seconds."""
    watching = asyncio.create_task(current.watch())
    before = current.services
    try:
        async with asyncio.timeout(10):
            while current.services is before:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await current.aclose()


@pytest.mark.parametrize("change", [_other_threshold, _other_artifact])
def test_a_file_changed_during_startup_is_reloaded(tmp_path: Path, change: Callable[[Path], None]) -> None:
    shutil.copytree(artifact.SHIPPED, tmp_path / "router")
    made = processes.make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1", routing={"artifact": "router"})
    path = tmp_path / "breakeven.yaml"
    path.write_text(yaml.safe_dump(dict(made)))
    config = load_config(path)
    trained, ledger = open_services(config)
    try:
        services = Services.build(config, trained, ledger)
        change(tmp_path)
        current = Current(services, lambda: load_config(path), path)
        asyncio.run(_watch_until_reloaded(current))
    finally:
        ledger.close()

    now = current.services
    assert now.config == load_config(path)
    assert now.artifact.hash == artifact.written_hash(tmp_path / "router")
    assert (now.config, now.artifact.hash) != (config, trained.hash)


def test_a_config_that_never_loads_is_refused_and_the_next_one_is_read(tmp_path: Path) -> None:
    """Such as one that names a module that waits: what it does later has no effect any more."""
    path = tmp_path / "breakeven.yaml"
    path.write_text(yaml.safe_dump(dict(processes.make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1"))))
    config = load_config(path)
    trained, ledger = open_services(config)
    hangs, released = threading.Event(), threading.Event()
    hangs.set()

    def read() -> Config:
        if hangs.is_set():
            released.wait(60)
        return load_config(path)

    async def run(hanging: Current) -> None:
        current = hanging
        assert not await current.reload()
        assert "took more than 0.5 s to load" in current.services.state.config_faults[0]
        assert current.services.metrics.reloads.labels("refused")._value.get() == 1
        hangs.clear()
        _other_threshold(tmp_path)
        # With the time that it has by default: this machine may be slow.
        current = Current(current.services, read, path)
        assert await current.reload()
        released.set()
        assert current.services.config.routing.threshold == 0.25
        assert not current.services.state.config_faults
        await current.aclose()

    try:
        current = Current(Services.build(config, trained, ledger), read, path, load_seconds=0.5)
        asyncio.run(run(current))
    finally:
        released.set()
        ledger.close()
