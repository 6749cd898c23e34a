"""Some of the attacks, for a few seconds each; `python -m tests.attack` runs all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.__main__ import main
from tests.attack.result import Result, Setting, attacks, run, table
from tests.support.postgres import Absent

# Those of peers and habits are contract tests already.
SHORT = {
    "away_at_start": 1,
    "frozen_server": 7,
    "deleted_journal": 1,
    "two_databases": 1,
    "streams_at_hard_limit": 5,
    "silent_connections": 3,
    "kills_sqlite": 4,
    "server-fuzz": 4,
    "client-fuzz": 4,
    "sse-fuzz": 2,
    "body-fuzz": 2,
}


@pytest.mark.parametrize("name", SHORT)
def test_the_gateway_holds(name: str, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is absent; install the extra postgres")
    try:
        result = attacks()[name](Setting(tmp_path, SHORT[name]))
    except Absent as error:
        pytest.skip(str(error))
    assert result.held, result.figures


def test_what_raises_is_not_held_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(setting: Setting) -> Result:
        assert setting.folder.is_dir()
        raise ValueError("of | this")

    monkeypatch.setattr("tests.attack.result.attacks", lambda: {"one": fails})
    (result,) = run(["one"], 1.0)
    assert not result.held
    assert result.figures["raised"].startswith("ValueError: of | this (test_attacks.py:")
    assert "| one | **not held** | raised ValueError: of \\| this" in table([result])


def test_names_are_listed_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert set(SHORT) < set(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        main(["no_such_attack"])
    assert "there is no attack no_such_attack; there are" in capsys.readouterr().err
