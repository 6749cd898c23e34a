"""The queries of the dashboards, with Grafana's variables replaced, run on a Prometheus."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.support.processes import ROOT

DASHBOARDS = ROOT / "deploy/grafana/dashboards"


@dataclass(frozen=True)
class Query:
    """One query of one panel."""

    dashboard: str
    panel: str
    unit: str
    legend: str
    expression: str

    def filled(self, interval: str) -> str:
        """The expression with the variables replaced as Grafana does; `interval` is such as 5s."""
        text = re.sub(r"\$__(rate_)?interval", interval, self.expression).replace("$job", ".+")
        assert "$" not in text, text
        return text


def panels_of(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels of a dashboard: rows, and those that a closed row shows once it is opened."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels") or ()


def queries() -> Iterator[Query]:
    """The queries of all panels of all dashboards, in order."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in panels_of(json.loads(path.read_text())):
            for target in panel.get("targets", ()):
                unit = panel["fieldConfig"]["defaults"].get("unit", "")
                yield Query(path.stem, panel["title"], unit, target.get("legendFormat", ""), target["expr"])


def annotation_queries() -> Iterator[Query]:
    """The queries of the annotations of all dashboards, with the annotation's name in place of the panel's."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for one in json.loads(path.read_text())["annotations"]["list"]:
            yield Query(path.stem, one["name"], "", one["titleFormat"], one["expr"])


Series = list[tuple[dict[str, str], list[tuple[float, float]]]]


def ask(url: str, expression: str, begin: float, end: float, step: float = 1.0) -> Series:
    """Run a range query on the Prometheus at `url`; times are seconds since the epoch.

    Returns labels and (time, value) points of each series with at least one finite value.
    """
    values = {"query": expression, "start": str(begin), "end": str(end), "step": str(step)}
    answer = httpx2.get(f"{url}/api/v1/query_range", params=values, timeout=20.0).json()
    assert answer["status"] == "success", (expression, answer)
    found = []
    for row in answer["data"]["result"]:
        points = [(float(at), float(value)) for at, value in row["values"] if math.isfinite(float(value))]
        if points:
            found.append((row["metric"], points))
    return found
