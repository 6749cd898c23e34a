"""The journal's folder belongs to one database, whatever it is reached by."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from breakeven.gateway.config.journal_folder import beside, claim, others, own_folder, owner
from breakeven.gateway.config.load import load_config


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("postgresql+psycopg://user:secret-word@db.example.com/ledger", "postgresql db.example.com 5432 ledger"),
        ("postgresql://other@db.example.com:5433/ledger?sslmode=require", "postgresql db.example.com 5433 ledger"),
        ("postgresql+psycopg://breakeven@/ledger?host=/run/postgresql", "postgresql /run/postgresql 5432 ledger"),
        ("postgresql+psycopg://user@/", "postgresql localhost 5432 user"),
        ("sqlite:////data/breakeven.db", "sqlite ../breakeven.db"),
        ("sqlite://", "sqlite :memory:"),
    ],
)
def test_a_database_is_called_by_its_address(url: str, called: str) -> None:
    assert owner(url, Path("/data/journal")) == called


def test_a_second_database_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "breakeven-journal.d"
    assert claim(folder, "one") == folder
    assert own_folder(folder, "one") == folder
    own = claim(folder, "two")
    assert own.is_dir()
    assert own.parent == folder
    assert own_folder(folder, "two") == own
    assert own_folder(folder, "three") not in (folder, own)
    assert others(own) is None
    (folder / "left.jsonl").write_text("{}\n")
    assert others(own) == (1, "one")
    assert others(folder) is None


def test_the_config_names_the_folder_of_its_own(tmp_path: Path) -> None:
    config = {
        "teacher": {"base_url": "http://127.0.0.1:1", "model": "big", "usd_per_million": {"input": 1, "output": 1}}
    }
    path = tmp_path / "breakeven.yaml"
    found = []
    for name in ("one", "two", "one"):
        path.write_text(yaml.safe_dump({**config, "ledger": {"url": f"postgresql+psycopg://u@db/{name}"}}))
        ledger = load_config(path).ledger
        assert ledger.journal is not None
        found.append(claim(Path(ledger.journal), owner(ledger.url, Path(ledger.journal))))
    assert found[0] == found[2] == tmp_path / "breakeven-journal.d"
    assert found[1].parent == found[0]
    assert beside(found[0], "policy.json") != beside(found[1], "policy.json")
