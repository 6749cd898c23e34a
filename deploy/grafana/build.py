"""Writes the dashboards' JSON. `python deploy/grafana/build.py` after a change; a test compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import money
import operations
import routing
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

FOLDER = Path(__file__).parent / "dashboards"


def documents() -> dict[str, str]:
    """File name -> JSON."""
    boards = {"money": money, "routing": routing, "operations": operations}
    return {f"{name}.json": _finished(board.build().build()) for name, board in boards.items()}


def _finished(board: Dashboard) -> str:
    # Grafana wants panels with ids of their own, and a list of annotations even where there are none.
    document = json.loads(JSONEncoder().encode(board))
    document["annotations"] = {"list": []}
    for number, panel in enumerate(document["panels"], 1):
        panel["id"] = number
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
