"""The commands on the next student: `candidate status`, `promote`, `drop` and `rollback`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from breakeven.gateway.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath
from breakeven.gateway.config.load import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from breakeven.gateway.runtime.promotion import Word

app = typer.Typer(
    help="The next student as an experiment: what is known of it, and your word on it.", no_args_is_help=True
)
Anyway = Annotated[bool, typer.Option("--anyway", help="Promote it although it is not shown to be better.")]


@app.command()
def status(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Print where the candidate stands: what was compared of it and the student, and whether it is better or worse."""
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.reports.candidate import standing
    from breakeven.gateway.runtime.promotion import known_experiment

    settings = load_config(config)
    with read_ledger(settings) as ledger:
        found = standing(ledger, settings, known_experiment(ledger))
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else "\n".join(found.lines()))


@app.command()
def promote(config: ConfigPath = DEFAULT_CONFIG, anyway: Anyway = False) -> None:
    """Make the candidate the student, with the routers of its own, on all gateways of the ledger."""
    _say(config, "promote", anyway=anyway)


@app.command()
def drop(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Ask the candidate no longer."""
    _say(config, "drop")


@app.command()
def rollback(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Make the student of before the student again, with the routers that were in force then."""
    _say(config, "rollback")


def _say(config: Path, word: Word, *, anyway: bool = False) -> None:
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.reports.candidate import to_write
    from breakeven.gateway.runtime.promotion import say

    settings = load_config(config)
    with read_ledger(settings) as ledger:
        found = say(ledger, settings, word, "command line", anyway=anyway)
    typer.echo(f"candidate {found.phase}; {found.why}")
    if (text := to_write(settings, found)) is not None:
        typer.echo(text)
