"""The files under deploy/: schema validation, the gateway's config check, and the processes of the compose demo."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from breakeven.gateway.config.load import load_config
from tests.support import processes
from tests.support.processes import CHECKOUT, ROOT, Child, free_port
from tests.support.real import program

DEPLOY = ROOT / "deploy"
CONFIGS = ["compose/breakeven.yaml", "compose/breakeven.demo.yaml"]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configs_are_valid(name: str) -> None:
    config = load_config(DEPLOY / name)
    # In a container the gateway listens on all interfaces, so it needs client keys.
    assert config.server.host == "0.0.0.0"
    assert config.auth.keys


class Loader(yaml.SafeLoader):
    """Resolves the tags of compose: `!override VALUE` is the value, `!reset` is null."""


Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))
Loader.add_constructor("!reset", lambda loader, node: None)


def composed(*names: str) -> dict[str, Any]:
    """The files merged as by docker compose, as far as these files need it."""
    services: dict[str, Any] = {}
    whole: dict[str, Any] = {}
    for name in names:
        document = yaml.load((DEPLOY / name).read_text(), Loader)
        whole |= {key: value for key, value in document.items() if key != "services"}
        for service, keys in document["services"].items():
            merged = services.setdefault(service, {})
            for key, value in keys.items():
                merged[key] = {**merged[key], **value} if isinstance(merged.get(key), dict) and value else value
                if merged[key] is None:
                    del merged[key]
    return {**whole, "services": services}


COMPOSED = [("compose.yaml",), ("compose.yaml", "compose.cpu.yaml"), ("compose.yaml", "compose.demo.yaml")]


@pytest.mark.parametrize("names", COMPOSED)
def test_compose_is_valid_and_mounts_existing_files(names: tuple[str, ...]) -> None:
    compose_spec = pytest.importorskip("compose_spec", reason="compose-spec is absent; install the extra test")
    document = composed(*names)
    compose_spec.ComposeSpecification.model_validate(document)
    for service in document["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), volume
            elif not source.startswith("$"):
                assert source in document["volumes"]
        # A moving tag gives each machine another version. Our own image is built, and that for the CPU is named.
        image = service["image"]
        assert image == "breakeven" or image.startswith("${") or re.search(r":v?\d+\.\d+\.\d+$", image), image
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
    gateway = document["services"]["gateway"]
    assert gateway["read_only"] is True
    assert float(gateway["stop_grace_period"].rstrip("s")) > 60
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/breakeven.yml").read_text())["providers"][0]
    assert any(
        volume.split(":")[1] == provider["options"]["path"] for volume in document["services"]["grafana"]["volumes"]
    )


def test_the_image_does_not_run_as_root_and_copies_existing_files() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert "USER 10001" in lines
    assert [line for line in lines if line.startswith("ENTRYPOINT")] == ['ENTRYPOINT ["breakeven"]']
    copied = [line.split()[1] for line in lines if re.match(r"COPY \w", line)]
    for name in (*copied, "pyproject.toml", "README.md"):
        assert (ROOT / name).exists()
        assert f"!{name}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_prometheus_and_alertmanager_accept_their_configs() -> None:
    folder = DEPLOY / "prometheus"
    commands = [
        [program("promtool"), "check", "config", str(folder / "prometheus.yml")],
        [program("amtool"), "check-config", str(folder / "alertmanager.yml")],
    ]
    for command in commands:
        checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    scraping = yaml.safe_load((folder / "prometheus.yml").read_text())
    (target,) = scraping["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    service, _, port = target.partition(":")
    assert composed("compose.yaml")["services"][service]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_systemd_unit_is_valid(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is absent; install the Debian package systemd")
    unit = tmp_path / "breakeven.service"
    unit.write_text(
        (DEPLOY / "systemd/breakeven.service").read_text().replace("/opt/breakeven/bin/breakeven", "/bin/true")
    )
    checked = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[processes.Gateway]:
    """The containers of the compose demo as processes: the same script, and the same config except ports and paths."""
    config = yaml.safe_load((DEPLOY / "compose/breakeven.demo.yaml").read_text())
    ports = [free_port(), free_port()]
    for side, port in zip(("student", "teacher"), ports, strict=True):
        config[side]["base_url"] = f"http://127.0.0.1:{port}/v1"
    config["server"] = {"host": "127.0.0.1"}
    config["ledger"] = {"url": "sqlite:///breakeven.db"}
    with processes.gateway(tmp_path, config) as gateway:
        command = [sys.executable, str(DEPLOY / "compose/replay.py"), "--gateway", gateway.url, "--key", "demo"]
        command += ["--student-port", str(ports[0]), "--teacher-port", str(ports[1]), "--per-second", "15"]
        child = Child(command, tmp_path / "replay.log", {"PYTHONPATH": CHECKOUT})
        try:
            yield gateway
        finally:
            assert child.stop() == 0


def test_the_demo_fills_the_ledger(demo: processes.Gateway) -> None:
    served = 'breakeven_tokens_total{kind="output",upstream="%s"}'
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        metrics = demo.metrics()
        if metrics[served % "student"] > 0 and metrics[served % "teacher"] > 0:
            break
        time.sleep(0.5)
    assert metrics[served % "student"] > 0
    assert metrics[served % "teacher"] > 0
    assert metrics["breakeven_baseline_usd_total"] > 0
