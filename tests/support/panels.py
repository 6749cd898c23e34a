"""The queries of the dashboards, with Grafana's variables replaced, run on a Prometheus and drawn as PNG."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
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
        text = self.expression.replace("$__rate_interval", interval).replace("$job", ".+")
        assert "$" not in text, text
        return text


def queries() -> Iterator[Query]:
    """The queries of all dashboards, in order."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                unit = panel["fieldConfig"]["defaults"].get("unit", "")
                yield Query(path.stem, panel["title"], unit, target.get("legendFormat", ""), target["expr"])


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


def draw(dashboard: str, found: dict[Query, Series], path: Path) -> None:
    """Draw all panels of a dashboard as one PNG, for manual inspection."""
    from matplotlib.figure import Figure

    titles: dict[str, list[Query]] = {}
    for query in found:
        if query.dashboard == dashboard:
            titles.setdefault(query.panel, []).append(query)
    rows = math.ceil(len(titles) / 4)
    figure = Figure(figsize=(18, 2.6 * rows), layout="constrained")
    for axes, (title, asked) in zip(figure.subplots(rows, 4).flat, titles.items(), strict=False):
        for query in asked:
            for labels, points in found[query]:
                name = _legend(query.legend, labels)
                times = [datetime.datetime.fromtimestamp(at, datetime.UTC) for at, _ in points]
                axes.plot(times, [value for _, value in points], "o-" if len(points) == 1 else "-", label=name or "_")
        axes.set_title(f"{title} [{asked[0].unit}]", fontsize=8)
        axes.tick_params(labelsize=6)
        named = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
        if named and len(named) < 9:
            axes.legend(fontsize=6, frameon=False)
    figure.savefig(path, dpi=70)


def _legend(text: str, labels: dict[str, Any]) -> str:
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", str(value))
    return text
