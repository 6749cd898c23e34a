"""Decision records stay short, and every one is in the index."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "docs/contributing/decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
MOST_LINES = 35


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_is_about_half_a_page_and_has_its_parts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert text.startswith(f"# {int(path.stem[:4])}. ")
    assert all(part in text for part in ("**Context.**", "**Decision", "**Consequences.**"))


def test_every_record_is_in_the_index_with_its_title() -> None:
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    for path in RECORDS:
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"- [{title}]({path.name})" in index
