"""Build the JSON files of the dashboards: run `python deploy/grafana/build.py` after a change.

A test compares the committed files with what this builds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import money
import operations
import routing
from annotations import annotations
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

FOLDER = Path(__file__).parent / "dashboards"


def documents() -> dict[str, str]:
    """The JSON text of each dashboard, by file name."""
    boards = {"money": money, "routing": routing, "operations": operations}
    return {f"{name}.json": _encode(board.build().build()) for name, board in boards.items()}


def _encode(board: Dashboard) -> str:
    # Grafana requires unique panel ids. The builder of annotations lacks the fields of Prometheus.
    document = json.loads(JSONEncoder().encode(board))
    document["annotations"] = {"list": annotations()}
    every = [one for panel in document["panels"] for one in (panel, *panel.get("panels", ()))]
    for number, panel in enumerate(every, 1):
        panel["id"] = number
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
