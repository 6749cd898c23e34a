"""The dashboards as people see them: drawn from a played day, and the pictures of them in the docs."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from tests.bench.dashboards import history
from tests.bench.dashboards.__main__ import DRAWN, IMAGES, draw_all, drawn_from, play
from tests.support import panels
from tests.support.kept import kept

# Nothing fails in it, and none of it is played in detail.
DAY = history.Story(end=datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC), days=1, hours=0, a_day=90.0)


def test_the_pictures_in_the_docs_are_of_these_dashboards() -> None:
    written = json.loads((IMAGES / DRAWN).read_text(encoding="utf-8"))
    assert written == drawn_from(IMAGES), "run: python -m tests.bench.dashboards"
    for name, files in written.items():
        # README.md shows the top of the first.
        parts = ("light", "dark", "top") if name == "money" else ("light", "dark")
        assert set(files) == {"dashboard", *(f"dashboard-{name}-{part}.png" for part in parts)}


def test_every_panel_is_drawn_and_says_what_it_shows(tmp_path: Path) -> None:
    play(tmp_path / "played", DAY)
    out = kept(tmp_path)
    texts = draw_all(tmp_path / "played", DAY, out, ("light",))
    assert set(texts) == {path.stem for path in panels.DASHBOARDS.glob("*.json")}
    for name, seen in texts.items():
        board = json.loads((panels.DASHBOARDS / f"{name}.json").read_text(encoding="utf-8"))
        titles = [panel["title"] for panel in board["panels"] if panel["type"] != "row"]
        assert len(seen) == len(titles)
        for title, text in zip(titles, seen, strict=True):
            assert text.startswith(title)
            # Neither an expression in the place of a name, nor a panel that does not say why it is empty.
            assert not any(wrong in text for wrong in ("{", "breakeven_", "No data")), text
        assert (out / f"dashboard-{name}-light.png").read_bytes().startswith(b"\x89PNG")
    shown = {name: " ".join(seen) for name, seen in texts.items()}
    assert "$" in shown["money"]
    assert "observe" in shown["routing"]
    assert "no candidate in the config" in shown["routing"]
    assert "in force" in shown["operations"]
