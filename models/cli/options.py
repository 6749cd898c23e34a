"""Command-line options that several `breakeven distill` commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# The exit code of a command that stopped before it was complete.
INCOMPLETE = 3

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Config file of the gateway; adds the cost to its ledger as an investment."),
]
Concurrency = Annotated[int, typer.Option(min=1, max=1024, help="Maximum number of concurrent calls.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Maximum number of output tokens of an answer.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Skip malformed rows instead of failing.")]
