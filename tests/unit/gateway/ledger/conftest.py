from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.gateway.ledger import Ledger


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def ledger(url: str, journal: Path) -> Iterator[Ledger]:
    opened = Ledger.open(url, journal=journal)
    yield opened
    opened.close()
