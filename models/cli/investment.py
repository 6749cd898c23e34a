"""What a step cost, into the ledger."""

from __future__ import annotations

from pathlib import Path

import typer


def enter_investment(context: typer.Context, config: Path | None, name: str, usd: str) -> None:
    """Into the ledger of the config; without one, say how."""
    invest = context.obj
    if config is not None and callable(invest):
        typer.echo(invest(config, name, usd))
    else:
        typer.echo(f"to count it as an investment: breakeven invest {name} {usd}")
