"""Adding the cost of a distillation step to the ledger."""

from __future__ import annotations

from pathlib import Path

import typer

from breakeven.models.cli.ledger import LedgerAccess


def enter_investment(context: typer.Context, config: Path | None, name: str, usd: str) -> None:
    """Add an investment of `usd` (a decimal number) to the ledger of `config`, or print the command that does.

    The function that adds it is in the context's `obj`, a LedgerAccess.
    """
    if config is not None and isinstance(context.obj, LedgerAccess):
        typer.echo(context.obj.invest(config, name, usd))
    else:
        typer.echo(f"to count it as an investment: breakeven invest {name} {usd}")
