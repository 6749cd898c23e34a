"""The page of the figures, and the file beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.bench.road.figures import Drift, Figure, Played, Ranking

_P = TypeVar("_P", Ranking, Played, Drift)
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


Part = Ranking | Played | Drift


class Figures(msgspec.Struct):
    """The figures of each part of the bench."""

    parts: dict[str, list[Ranking | Played | Drift]] = {}

    def of(self, kind: type[_P]) -> list[_P]:
        """All figures of a kind."""
        return [one for part in self.parts.values() for one in part if isinstance(one, kind)]


def read(folder: Path) -> Figures:
    """The figures in road.json; none where it is absent."""
    path = folder / "road.json"
    return msgspec.json.decode(path.read_bytes(), type=Figures) if path.exists() else Figures()


def write(folder: Path, figures: Figures) -> None:
    """Write road.json, and the figures of road.md between its marks."""
    (folder / "road.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")
    page = folder / "road.md"
    text = page.read_text(encoding="utf-8") if page.exists() else f"# The road\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    body = "\n".join(lines(figures))
    page.write_text(f"{before}{BEGIN}\n{body}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def lines(figures: Figures) -> Iterator[str]:
    """The figures in Markdown."""
    yield "Written by `python -m tests.bench.road ../shared/data`. In brackets 95% intervals.\n"
    yield "### Runs from cold\n"
    yield from _table(
        (
            "source",
            "floor",
            "learner",
            "runs",
            "floor broken at any moment",
            "labels to a tenth, median",
            "share at the end",
            "best in hindsight",
            "cost regret",
        ),
        (
            (
                one.source,
                f"{one.floor:.2f}",
                one.learner,
                str(one.runs),
                _percent(one.broken),
                _number(one.labels, "{:.0f}"),
                _percent(one.share),
                f"{one.hindsight:.0%}",
                _number(one.regret, "{:.2f}"),
            )
            for one in figures.of(Played)
        ),
    )
    yield "\n### Traffic that switches half-way\n"
    yield from _table(
        ("traffic", "floor", "runs", "held again within 1,000 requests", "noticed after, median"),
        (
            (one.traffic, f"{one.floor:.2f}", str(one.runs), _percent(one.held), _number(one.noticed, "{:.0f}"))
            for one in figures.of(Drift)
        ),
    )
    yield "\n### Ranking\n"
    yield from _table(
        ("source", "router", "labels", "draws", "rows", "APGR"),
        (
            (
                one.source,
                one.router,
                str(one.labels),
                str(one.draws),
                str(one.tested),
                _number(one.apgr, "{:.3f}"),
            )
            for one in figures.of(Ranking)
        ),
    )


def _percent(figure: Figure) -> str:
    return _number(figure, "{:.1%}")


def _number(figure: Figure, form: str) -> str:
    value, low, high = ("never" if one is None else form.format(one) for one in msgspec.structs.astuple(figure))
    return f"{value} [{low}, {high}]"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
