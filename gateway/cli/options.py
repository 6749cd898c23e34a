"""What the commands share: common options, reading the config, parsing option values, and printing."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from breakeven.gateway.config.load import check_environment, load_config
from breakeven.gateway.config.schema import Config
from breakeven.router import plots
from breakeven.router.progress import Progress as Advance

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", envvar="BREAKEVEN_CONFIG", help="Path of the config file.", show_default=True)
]
DEFAULT_CONFIG = Path("breakeven.yaml")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
OtherArtifact = Annotated[
    Path | None, typer.Option(help="Directory of the router artifact; default: the one that the config names.")
]
PLOT_SKIPPED = "plot not drawn: pip install 'breakeven[plots]'"


def console() -> Console:
    """A rich console on standard output, 120 columns wide if that is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else 120)


@contextmanager
def working(text: str) -> Iterator[Advance]:
    """Show on a terminal that something takes its time, with a bar and the time that has passed, as long as the block
    lasts; elsewhere nothing is printed. Yields what is told how many steps are done, and of how many; until then the
    bar says only that it goes on.
    """
    on = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=on, transient=True, disable=not on.is_terminal) as shown:
        task = shown.add_task(text, total=None)
        yield lambda done, of: shown.update(task, completed=done, total=of)


def show(parts: Iterable[Table | str]) -> None:
    """Print tables with rich and strings as plain lines, in the order given."""
    for part in parts:
        if isinstance(part, Table):
            console().print(part)
        else:
            typer.echo(part)


def load(
    path: Path,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    reading: Callable[[Path], None] = lambda _: None,
) -> Config:
    """The config at `path`, with the command line's server options in place of the file's where they are given; for
    `reading` see `load_config`.

    Raises ConfigError, also where an environment variable that the config names is not set.
    """
    config = load_config(path, reading)
    given = (("host", host), ("port", port), ("workers", workers))
    changes = {name: value for name, value in given if value is not None}
    if changes:
        config = config.model_copy(update={"server": config.server.model_copy(update=changes)})
    check_environment(config)
    return config


_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(option: str, text: str | None) -> int | None:
    """A date or time as microseconds since the Unix epoch; None for None.

    ISO 8601, UTC where it names no zone, or how long ago: `90m`, `12h`, `7d`, `2w`. Raises ValueError, which names
    the option.
    """
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago:
        return int((time.time() - timedelta(**{_UNITS[ago[2]]: int(ago[1])}).total_seconds()) * 1_000_000)
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{option}: neither a date nor how long ago; write it as 2026-11-01, 2026-11-01T12:00:00Z or 7d"
        ) from None
    return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def require_plots(option: str, path: Path | None) -> None:
    """Check, before any work is done, that a plot that was asked for can be drawn.

    Raises ValueError where `path` is given and matplotlib is not installed.
    """
    if path is not None and not plots.installed():
        raise ValueError(f"{option}: {plots.MISSING}")


def plot_path(option: str, path: Path | None, default: str) -> Path | None:
    """The file for a plot that a command writes by default: `path`, else `default`, or None without matplotlib.

    Raises ValueError where `path` is given and matplotlib is not installed.
    """
    require_plots(option, path)
    if path is not None:
        return path
    return Path(default) if plots.installed() else None
