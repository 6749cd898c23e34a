"""Draw dashboards in Chromium with Grafana's own components, from the answers of a Prometheus."""

from __future__ import annotations

import contextlib
import datetime
import functools
import io
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from PIL import Image

from tests.support.panels import DASHBOARDS
from tests.support.real import grafana_components

PAGE = Path(__file__).parent / "page"
WIDTH = 1440
_UNITS = {"m": 60, "h": 3600, "d": 86400}
# Grafana asks for about a point for each pixel of a panel, at a rounded step.
_POINTS = 700
_STEPS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_DRAWN_SECONDS = 60.0
_COLORS = 200


class Window(NamedTuple):
    """The time range of a picture in seconds since the epoch, and the interval of scrapes in it."""

    begin: float
    end: float
    scrape: float

    @property
    def step(self) -> float:
        """What Grafana takes for the distance of two points."""
        wanted = max(self.scrape, (self.end - self.begin) / _POINTS)
        return next((float(step) for step in _STEPS if step >= wanted), wanted)

    @property
    def first(self) -> float:
        """The first time that is asked for: whole steps before the end."""
        return self.end - (self.end - self.begin) // self.step * self.step

    def filled(self, expression: str) -> str:
        """The expression with Grafana's variables replaced as Grafana does."""
        rate = max(self.step + self.scrape, 4 * self.scrape)
        values = {"$__rate_interval": f"{rate:.0f}s", "$__interval": f"{self.step:.0f}s", "$job": ".+"}
        for name, value in {**values, "$__range": f"{self.end - self.begin:.0f}s"}.items():
            expression = expression.replace(name, value)
        assert "$" not in expression, expression
        return expression


def length(board: dict[str, Any]) -> float:
    """The seconds that a dashboard shows when it is opened."""
    found = re.fullmatch(r"now-(\d+)([mhd])", board["time"]["from"])
    assert found, board["time"]
    return int(found[1]) * _UNITS[found[2]]


def data(url: str, board: dict[str, Any], window: Window) -> dict[str, Any]:
    """What the page needs for a dashboard: the answers of the Prometheus at `url` to every panel and annotation."""
    with httpx2.Client(base_url=url, timeout=60.0) as client:
        answers = {
            panel["id"]: [_ask(client, target, window) for target in panel["targets"]]
            for panel in board["panels"]
            if "targets" in panel
        }
        annotations = [
            {"at": at, "color": one["iconColor"], "name": one["name"]}
            for one in board["annotations"]["list"]
            if "expr" in one
            for at in _moments(_ask(client, one, window), of_value=bool(one.get("useValueForTime")))
        ]
    span = {"start": window.first, "end": window.end, "step": window.step}
    until = datetime.datetime.fromtimestamp(window.end, datetime.UTC)
    hours = (window.end - window.begin) / 3600
    label = f"last {hours:.0f} hours" if hours < 48 else f"last {hours / 24:.0f} days"
    label += f" to {until:%Y-%m-%d %H:%M} UTC"
    boards = [json.loads(path.read_text(encoding="utf-8"))["title"] for path in sorted(DASHBOARDS.glob("*.json"))]
    # A link to dashboards by a tag also leads to the one that has it.
    linked = boards if board["links"] else []
    shown = {"board": board, "boards": linked, "answers": answers, "annotations": annotations}
    return {**shown, "span": span, "label": label}


def _ask(client: httpx2.Client, target: dict[str, Any], window: Window) -> list[dict[str, Any]]:
    values = {"query": window.filled(target["expr"])}
    if target.get("instant"):
        answer = client.get("/api/v1/query", params={**values, "time": str(window.end)})
    else:
        values |= {"start": str(window.first), "end": str(window.end), "step": str(window.step)}
        answer = client.get("/api/v1/query_range", params=values)
    found = answer.json()
    assert found["status"] == "success", (target["expr"], found)
    return list(found["data"]["result"])


def _moments(series: list[dict[str, Any]], *, of_value: bool) -> Iterator[float]:
    """Milliseconds at which Grafana draws an annotation: those that a value is, or where it is above 0."""
    for one in series:
        seen: set[float] = set()
        for at, value in one["values"]:
            moment = float(value) if of_value else 1000 * float(at)
            if moment not in seen and float(value) > 0:
                yield moment
            seen.add(moment)


@contextlib.contextmanager
def page(folder: Path) -> Iterator[str]:
    """Bundle the page into `folder` and serve that; yields its URL. The data of pictures are put beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    node = shutil.which("node")
    assert node is not None
    environment = {**os.environ, "NODE_PATH": str(grafana_components())}
    command = [node, str(PAGE / "build.mjs"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: what matters is in the page."""


def draw(browser: Any, url: str, name: str, out: Path, *, mode: str = "light", width: int = WIDTH) -> list[str]:
    """Take a picture of the data `name` at the page `url` into the file `out`; the texts of all panels.

    Raises AssertionError where a panel cannot be drawn.
    """
    shown = browser.new_page(viewport={"width": width, "height": 900})
    faults: list[str] = []
    shown.on("pageerror", lambda error: faults.append(str(error)))
    shown.goto(f"{url}/index.html?data={name}&mode={mode}&width={width}")
    shown.wait_for_function("window.drawn || window.faults.length", timeout=1000 * _DRAWN_SECONDS)
    # Lines are drawn on canvases in the frames after that.
    shown.evaluate(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 500))))"
    )
    faults += shown.evaluate("window.faults")
    assert not faults, faults
    picture = Image.open(io.BytesIO(shown.screenshot(full_page=True)))
    # A third of the size, and no difference to the eye.
    picture.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE).save(out, optimize=True)
    texts: list[str] = shown.evaluate("[...document.querySelectorAll('section')].map(panel => panel.innerText)")
    shown.close()
    return texts


def put(folder: Path, name: str, found: dict[str, Any]) -> None:
    """Put the data of a picture beside the page of `folder`."""
    (folder / name).write_text(json.dumps(found))
