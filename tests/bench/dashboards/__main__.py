"""`python -m tests.bench.dashboards`: play three weeks, and draw every dashboard from them into docs/images.

Took 9 minutes on two cores, 18 on busy ones; `--from FOLDER` draws what was played there before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

from tests.bench.dashboards import history, pictures
from tests.support.panels import DASHBOARDS
from tests.support.processes import ROOT
from tests.support.prometheus import backfill, prometheus
from tests.support.real import program

IMAGES = ROOT / "docs/images"
# Says what each picture was drawn from; a test compares it with what there is now.
DRAWN = "dashboards.json"
# The rows of pixels down to the end of the dashboard's row "Break-even".
_TOP = 1180
_FLAGS = ("--storage.tsdb.retention.time=10y", "--query.lookback-delta=31m")


def main() -> None:
    """Play, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    parser.add_argument("--from", type=Path, dest="played", help="folder of an earlier run; or that of this one")
    parser.add_argument("--mode", choices=("light", "dark", "both"), default="both")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dashboards-") as temporary:
        folder = options.played or Path(temporary)
        if not (folder / "tsdb").exists():
            play(folder, history.Story())
        modes = ("light", "dark") if options.mode == "both" else (options.mode,)
        draw_all(folder, history.Story(), options.out, modes)
        if "light" in modes:
            cut_top(options.out)
        (options.out / DRAWN).write_text(json.dumps(drawn_from(options.out), indent=1) + "\n")


def play(folder: Path, story: history.Story) -> None:
    """Play the story, and have a Prometheus' data in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    history.play(folder, folder / "scraped.om", story)
    backfill(folder / "scraped.om", folder)


def draw_all(folder: Path, story: history.Story, out: Path, modes: tuple[str, ...]) -> dict[str, list[str]]:
    """Draw every dashboard from the data in `folder`; the texts of the panels of each, by its name."""
    from playwright.sync_api import sync_playwright

    texts = {}
    with (
        prometheus(folder, flags=_FLAGS) as url,
        pictures.page(folder / "page") as page,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        for path in sorted(DASHBOARDS.glob("*.json")):
            board = json.loads(path.read_text(encoding="utf-8"))
            pictures.put(folder / "page", path.name, pictures.data(url, board, window(board, story)))
            for mode in modes:
                file = out / f"dashboard-{path.stem}-{mode}.png"
                texts[path.stem] = pictures.draw(browser, page, path.name, file, mode=mode)
                print(file)
        browser.close()
    return texts


def cut_top(out: Path) -> None:
    """Write the first rows of the dashboard Money, savings and quality, as a picture for README.md."""
    from matplotlib import image

    whole = image.imread(out / "dashboard-money-light.png")
    image.imsave(out / "dashboard-money-top.png", whole[:_TOP])


def window(board: dict[str, object], story: history.Story) -> pictures.Window:
    """What the dashboard shows at the end of the story when it is opened."""
    end = story.end.timestamp()
    begin = max(story.begin.timestamp(), end - pictures.length(board))
    scrape = (history.SHORT_PAUSE if begin >= story.detailed.timestamp() else history.PAUSE).total_seconds()
    return pictures.Window(begin, end, scrape)


def drawn_from(out: Path) -> dict[str, dict[str, str]]:
    """The hashes of each dashboard and of its pictures in `out`."""
    return {
        path.stem: {
            "dashboard": _hash(path),
            **{picture.name: _hash(picture) for picture in sorted(out.glob(f"dashboard-{path.stem}-*.png"))},
        }
        for path in sorted(DASHBOARDS.glob("*.json"))
    }


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
