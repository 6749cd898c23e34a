"""Config files that no reader can take: each is refused in one line, and the gateway goes on and reads the next one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attack.agreement import ask_both
from tests.attack.bad_files import AT_START, FILES, clear
from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.support.processes import CHECKOUT

# The config's own, and those of modules that it names.
SECRETS = ("secret-canary", "secret@canary", "canary@127")
_SECONDS = 60


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with running(folder, environment={"PYTHONPATH": f"{CHECKOUT}:{folder}"}) as running_gateway:
        yield running_gateway


def good(gateway: Gateway, threshold: float) -> None:
    clear(gateway.path)
    gateway.write_config({"routing": {"threshold": threshold}})


def refused(gateway: Gateway) -> float:
    return gateway.metric("config_reloads_total", outcome="refused")


def hang_up(gateway: Gateway) -> None:
    gateway.signal(signal.SIGHUP)


def is_read(gateway: Gateway, threshold: float, notice: Callable[[Gateway], None]) -> None:
    """A good file with this threshold comes into force."""
    wanted = "student" if threshold else "teacher"
    good(gateway, threshold)
    notice(gateway)
    eventually(lambda: gateway.post(chat()).headers["x-breakeven-route"] == wanted, _SECONDS)
    eventually(lambda: gateway.metric("config_last_reload_successful") == 1, _SECONDS)


@pytest.mark.parametrize("kind", FILES)
def test_it_is_refused_and_the_next_file_is_read(gateway: Gateway, kind: str) -> None:
    route = gateway.post(chat()).headers["x-breakeven-route"]
    said, before = gateway.log.stat().st_size, refused(gateway)
    FILES[kind](gateway.path, gateway.config)
    hang_up(gateway)
    eventually(lambda: refused(gateway) > before, _SECONDS)
    assert gateway.metric("config_last_reload_successful") == 0
    assert gateway.post(chat()).headers["x-breakeven-route"] == route
    log = gateway.log.read_bytes()[said:].decode()
    assert "config reload rejected, keeping the previous config: " in log
    assert not any(secret in log for secret in SECRETS)
    assert '"frames"' not in log
    # The next good file counts.
    is_read(gateway, 0.0 if route == "student" else 1.0, hang_up)


@pytest.mark.parametrize(
    "kind", ["a folder", "no file", "a ConfigMap that is bad", "half a file", "a link to itself", "a pipe"]
)
def test_a_change_is_noticed_without_a_signal(gateway: Gateway, kind: str) -> None:
    is_read(gateway, 1.0, hang_up)
    before = refused(gateway)
    FILES[kind](gateway.path, gateway.config)
    eventually(lambda: refused(gateway) > before, _SECONDS)
    is_read(gateway, 0.0, lambda _: None)


def test_a_file_whose_permissions_come_back_is_read(gateway: Gateway) -> None:
    """Neither its content nor its modification time changes, only what it takes to read it."""
    if os.geteuid() == 0:
        link, file = gateway.path, gateway.path.with_name("behind.yaml")
        is_read(gateway, 1.0, hang_up)
        gateway.write_config({"routing": {"threshold": 0.0}})
        gateway.path.replace(file)
        link.symlink_to("nowhere")
        before = refused(gateway)
        eventually(lambda: refused(gateway) > before, _SECONDS)
        link.unlink()
        link.symlink_to(file.name)
    else:
        is_read(gateway, 1.0, hang_up)
        good(gateway, 0.0)
        gateway.path.chmod(0)
        before = refused(gateway)
        hang_up(gateway)
        eventually(lambda: refused(gateway) > before, _SECONDS)
        gateway.path.chmod(0o600)
    eventually(lambda: gateway.post(chat()).headers["x-breakeven-route"] == "teacher", _SECONDS)


@pytest.mark.timeout(400)
def test_two_workers_refuse_and_read_on(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": f"{CHECKOUT}:{tmp_path}"}
    with running(tmp_path, {"server": {"workers": 2}}, environment=environment) as gateway:
        for kind in ("deep YAML", "a scorer that exits", "a folder"):
            before = refused(gateway)
            FILES[kind](gateway.path, gateway.config)
            # Both say it, by themselves.
            eventually(lambda before=before: refused(gateway) >= before + 2, _SECONDS)
            assert gateway.metric("config_last_reload_successful") == 0
            assert gateway.post(chat()).headers["x-breakeven-route"] == "student"
        good(gateway, 0.0)
        eventually(lambda: gateway.metric("config_last_reload_successful") == 1, _SECONDS)
        for _ in range(10):
            assert gateway.post(chat()).headers["x-breakeven-route"] == "teacher"


@pytest.mark.timeout(600)
def test_check_refuses_what_serve_dies_of_in_the_same_words(tmp_path: Path) -> None:
    found = ask_both(tmp_path)
    assert found.keys() == {*FILES, *AT_START}
    for kind, (check, serve) in found.items():
        assert (check.code, serve.code) == (2, 2), (kind, check, serve)
        assert check.text == serve.text, kind
        lines = check.text.splitlines()
        assert lines, kind
        assert all(line.startswith("breakeven: ") and len(line) < 500 for line in lines), (kind, lines)
        assert len(lines) <= 60, kind
        assert not any(secret in check.text for secret in SECRETS), kind
