"""What an attack found, and how attacks are named, found and run."""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import tests.attack


@dataclass(frozen=True)
class Result:
    """The outcome of one attack: whether the gateway held, and the figures measured, with their units, by name."""

    name: str
    held: bool
    figures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What an attack gets: an empty folder of its own, and about how many seconds it may take."""

    folder: Path
    seconds: float


# An attack starts what it attacks, stops all that it started, and returns what it found. Its name is its function's.
# A module of this folder has its attacks as the dict `ATTACKS`, by their names.
Attack = Callable[[Setting], Result]


def attacks() -> dict[str, Attack]:
    """All attacks by name, in order of the modules that have them."""
    found: dict[str, Attack] = {}
    for module in sorted(one.name for one in pkgutil.iter_modules(tests.attack.__path__)):
        if module == "__main__":
            continue
        theirs: Mapping[str, Attack] = getattr(importlib.import_module(f"tests.attack.{module}"), "ATTACKS", {})
        if twice := found.keys() & theirs.keys():
            raise ValueError(f"two attacks are named {', '.join(sorted(twice))}; rename one")
        found |= theirs
    return found


def run(names: Iterable[str], seconds: float) -> Iterator[Result]:
    """Run attacks one after the other, each with about `seconds`. One that raises is not held, and says what it raised.

    Raises KeyError for a name that no attack has.
    """
    known = attacks()
    for name, attack in [(name, known[name]) for name in names]:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"attack-{name}-") as folder:
            try:
                result = attack(Setting(Path(folder), seconds))
            except Exception as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                said = str(error).partition("\n")[0]
                where = f"{Path(frame.filename).name}:{frame.lineno}"
                result = Result(name, False, {"raised": f"{type(error).__name__}: {said} ({where})"})
        yield Result(name, result.held, {**result.figures, "took": f"{time.monotonic() - started:.0f} s"})


def table(results: Iterable[Result]) -> str:
    """The results as a Markdown table, with a last line that counts those held."""
    found = list(results)
    rows = [
        f"| {one.name} | {'held' if one.held else '**not held**'} | "
        + ", ".join(f"{name} {value}" for name, value in one.figures.items()).replace("|", "\\|")
        + " |"
        for one in found
    ]
    held = sum(one.held for one in found)
    return "\n".join(
        ["| attack | outcome | figures |", "| --- | --- | --- |", *rows, "", f"{held} of {len(found)} held"]
    )


def page(results: list[Result], command: str) -> str:
    """The page of the documentation for the results of one run of `command`."""
    known = attacks()
    meanings = [f"- `{name}`: {(known[name].__doc__ or '').strip()}" for name in known]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load average {os.getloadavg()[2]:.1f}"
    return "\n".join(
        [
            "# Attacks",
            "",
            f"From one run of `{command}`. Each attack starts a gateway of its own between",
            "scripted upstreams, and is bounded in time; some need PostgreSQL, which they start themselves. CI runs",
            "some of them for seconds. What each party can and cannot do is in SECURITY.md.",
            "",
            f"Machine: {machine} over 15 minutes; the attackers and upstreams run beside the gateway.",
            "",
            table(results),
            "",
            "## What they do",
            "",
            *meanings,
            "",
        ]
    )
