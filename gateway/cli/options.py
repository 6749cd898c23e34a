"""What the verbs share: the config option, reading the config with overrides, and the console."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from breakeven.gateway.config.load import check_environment, load_config
from breakeven.gateway.config.schema import Config

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", envvar="BREAKEVEN_CONFIG", help="The config file.", show_default=True)
]
DEFAULT_CONFIG = Path("breakeven.yaml")


def console() -> Console:
    """Standard output; 120 columns where it is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else 120)


def load(path: Path, host: str | None = None, port: int | None = None, workers: int | None = None) -> Config:
    """The config at `path` with the command line's overrides. Raises ConfigError."""
    config = load_config(path)
    given = (("host", host), ("port", port), ("workers", workers))
    changes = {name: value for name, value in given if value is not None}
    if changes:
        config = config.model_copy(update={"server": config.server.model_copy(update=changes)})
    check_environment(config)
    return config
