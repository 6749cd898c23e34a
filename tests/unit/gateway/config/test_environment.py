"""Values of the environment in the config: in a text, and in place of a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from breakeven.gateway.config.load import load_config
from breakeven.gateway.errors import ConfigError

BASE = """
teacher: {base_url: "${TEACHER_URL:-http://127.0.0.1:9/v1}", model: big, usd_per_million: {input: 1, output: 2}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "breakeven.yaml"


def write(path: Path, more: str = "") -> Path:
    path.write_text(BASE + more)
    return path


def test_a_text_is_replaced_where_it_stands(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_URL", "https://eu.example.com/v1")
    monkeypatch.setenv("REGION", "eu")
    write(config, 'ledger: {url: "sqlite:///ledger-${REGION}-${ZONE:-a}.db"}\n')
    found = load_config(config)
    assert found.teacher.base_url == "https://eu.example.com/v1"
    assert found.ledger.url.endswith("/ledger-eu-a.db")


@pytest.mark.parametrize("value", [None, ""])
def test_a_default_holds_where_the_variable_is_unset_or_empty(
    config: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("TEACHER_URL", value)
    assert load_config(write(config)).teacher.base_url == "http://127.0.0.1:9/v1"


def test_a_number_is_a_number_and_a_switch_a_switch(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9001")
    monkeypatch.setenv("FLOOR", "0.97")
    monkeypatch.setenv("KEEP", "true")
    more = "server: {port: '${PORT}'}\nroad: {floor: '${FLOOR}'}\nledger: {store_prompts: '${KEEP}'}\n"
    found = load_config(write(config, more))
    assert (found.server.port, found.road.floor, found.ledger.store_prompts) == (9001, 0.97, True)


def test_what_is_meant_literally_stays(config: Path) -> None:
    write(config, "student: {base_url: 'http://127.0.0.1:8/v1', model: '$${NAME} costs $5'}\n")
    found = load_config(config)
    assert found.student is not None
    assert found.student.model == "${NAME} costs $5"


def test_an_unset_variable_is_named_with_its_key(config: Path) -> None:
    write(config, "server: {host: '${HOST_THAT_IS_NOT_SET}'}\nauth: {keys: [{name: a, sha256: '${HASH_NOT_SET}'}]}\n")
    with pytest.raises(ConfigError, match=r"server\.host: the environment variable HOST_THAT_IS_NOT_SET is not set"):
        load_config(config)
    write(config, "auth: {keys: [{name: a, sha256: '${HASH_NOT_SET}'}]}\n")
    with pytest.raises(ConfigError, match=r"auth\.keys\[0\]\.sha256: the environment variable HASH_NOT_SET"):
        load_config(config)


def test_a_variable_stands_in_place_of_a_key(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKEVEN__SERVER__PORT", "9002")
    monkeypatch.setenv("BREAKEVEN__STUDENT__BASE_URL", "http://127.0.0.1:8/v1")
    monkeypatch.setenv("BREAKEVEN__STUDENT__MODEL", "2026")
    monkeypatch.setenv("BREAKEVEN__TEACHER__USD_PER_MILLION__OUTPUT", "7.5")
    found = load_config(write(config, "server: {port: 8080}\n"))
    assert found.student is not None
    assert (found.server.port, found.student.model, found.student.base_url) == (9002, "2026", "http://127.0.0.1:8/v1")
    assert float(found.teacher.usd_per_million.output) == 7.5


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("BREAKEVEN__SERVER__PROT", "server.prot"),
        ("BREAKEVEN__SERVER__PORT__X", "server.port"),
        ("BREAKEVEN__NOTHING", "nothing"),
    ],
)
def test_a_variable_that_names_no_key_is_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch, name: str, named: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=named.replace(".", r"\.")):
        load_config(write(config, "server: {port: 8080}\n"))
