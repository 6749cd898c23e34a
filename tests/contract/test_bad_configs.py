"""Config files that no reader can take: each is refused in one line, and the gateway goes on and reads the next one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.gateway.cli.main import main
from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.support.processes import CHECKOUT

# What is appended to a good file, or stands in its place where it begins with "!".
BAD = {
    "an impossible date": "x: 2024-02-30",
    "a date out of range": "x: 0001-01-01T00:00:00+14:00",
    "a long integer": "x: " + "9" * 5000,
    "deep YAML": "x: " + "[" * 5000 + "]" * 5000,
    "a deep mapping": "x: " + "{a: " * 3000 + "1" + "}" * 3000,
    "deep metadata": "!a: " + "{a: " * 3000,
    "a mapping that holds itself": "!&a {server: *a}",
    "a list that holds itself": "!&a [*a]",
    "a key that is a list": "? [a]\n: 1",
    "a Python object": "x: !!python/object/apply:os.getcwd []",
    "binary that is none": "x: !!binary '*'",
    "a scorer that raises": "road: {sample: 0.1, scorer: 'raising_scorer:score'}",
    "a scorer that exits": "road: {sample: 0.1, scorer: 'exiting_scorer:score'}",
    "a scorer that does not compile": "road: {sample: 0.1, scorer: 'broken_scorer:score'}",
    "a port that is none": "models: [{name: a, base_url: 'http://127.0.0.1:99999/v1', model: a, paths: [/a]}]",
    "an address without its bracket": "models: [{name: a, base_url: 'http://[::1', model: a, paths: [/a]}]",
    "an address that is none": "models: [{name: a, base_url: 'http://[::g]/v1', model: a, paths: [/a]}]",
    "a key of nothing": "auth: {keys: [{name: a, sha256: "
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}]}",
    "an infinite price": "economics: {investment_usd: .inf}",
    "a NUL": "x: \0",
    "another encoding": "!\xff\xfes\x00",
    "nothing": "!",
}
SCORERS = {
    "raising_scorer": "raise RuntimeError('a prompt of somebody')",
    "exiting_scorer": "import sys; sys.exit(3)",
    "broken_scorer": "def score(:",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    for name, text in SCORERS.items():
        (folder / f"{name}.py").write_text(text)
    with running(folder, environment={"PYTHONPATH": f"{CHECKOUT}:{folder}"}) as running_gateway:
        yield running_gateway


def written(gateway: Gateway, text: str) -> None:
    gateway.write_config()
    bad = text[1:] if text.startswith("!") else _without(gateway.path.read_text(), text.partition(":")[0]) + text + "\n"
    fresh = gateway.path.with_suffix(".bad")
    fresh.write_bytes(bad.encode("latin-1"))
    fresh.replace(gateway.path)


def checked(
    path: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `breakeven check`."""
    for name in ("T_STUDENT_KEY", "T_TEACHER_KEY"):
        monkeypatch.setenv(name, gateway.environment[name])
    monkeypatch.setattr(sys, "argv", ["breakeven", "check", "--config", str(path)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def _without(text: str, section: str) -> str:
    """The YAML without a section, so that it does not come twice."""
    lines, kept = text.splitlines(keepends=True), []
    inside = False
    for line in lines:
        if not line.startswith((" ", "-")):
            inside = line.startswith(f"{section}:")
        if not inside:
            kept.append(line)
    return "".join(kept)


@pytest.mark.parametrize("kind", BAD)
def test_it_is_refused_and_the_next_file_is_read(
    gateway: Gateway, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(gateway.folder))
    gateway.write_config({"routing": {"threshold": 1.0}})
    gateway.signal(signal.SIGHUP)
    eventually(lambda: gateway.post(chat()).headers["x-breakeven-route"] == "student", 20)
    written(gateway, BAD[kind])
    gateway.signal(signal.SIGHUP)
    eventually(lambda: gateway.metric("config_last_reload_successful") == 0, 20)
    assert gateway.post(chat()).headers["x-breakeven-route"] == "student"
    code, stdout, stderr = checked(gateway.path, gateway, monkeypatch, capsys)
    assert (code, stdout) == (2, ""), stderr
    assert stderr.startswith("breakeven: ")
    assert "Traceback" not in stderr
    assert "a prompt of somebody" not in stderr + gateway.log.read_text()
    # The next good file counts.
    gateway.write_config({"routing": {"threshold": 0.0}})
    gateway.signal(signal.SIGHUP)
    eventually(lambda: gateway.post(chat()).headers["x-breakeven-route"] == "teacher", 20)
    assert gateway.metric("config_last_reload_successful") == 1


@pytest.mark.parametrize("url", ["postgresql+psycopg://user:secret-canary@127.0.0.1:1/b", "sqlite:///other.db"])
def test_check_shows_no_password_of_the_database(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path) as gateway:
        path = tmp_path / "other.yaml"
        path.write_text(gateway.path.read_text().replace("sqlite:///ledger.db", url))
        code, stdout, stderr = checked(path, gateway, monkeypatch, capsys)
        assert "secret-canary" not in stdout + stderr
        assert code == (0 if url.startswith("sqlite") else 2)
