"""The command `pairs`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from breakeven.gateway.cli.options import DEFAULT_CONFIG, ConfigPath
from breakeven.gateway.config.load import load_config


def pairs(
    rows: Annotated[list[Path], typer.Argument(help="Outcome rows with token counts, as `distill evaluate` writes.")],
    config: ConfigPath = DEFAULT_CONFIG,
    workload: Annotated[str, typer.Option(help="The workload whose traffic the rows are like.")] = "default",
) -> None:
    """Enter compared answers of outcome rows in the ledger, so that savings can be estimated from them.

    Use rows whose prompts are drawn from your own traffic. A row that was entered before is left out.
    """
    from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.ledger.rates import price_at
    from breakeven.gateway.ledger.statements import comparisons
    from breakeven.gateway.reports import pairs as reading
    from breakeven.router import outcomes

    settings, now = load_config(config), time.time_ns() // 1000
    known = {DEFAULT_WORKLOAD, *settings.workload_names}
    if workload not in known:
        raise ValueError(f"--workload: {workload!r} is not in the config; use one of {', '.join(sorted(known))}")
    read = outcomes.read(rows)
    made = reading.pairs(read, price_at(settings, now), workload)
    with read_ledger(settings, create=True) as ledger:
        entered = ledger.enter_pairs(made.found, now)
        needed = comparisons(ledger, now).needed
    said = [f"entered {entered:,} comparisons of {len(read):,} rows"]
    if len(made.found) > entered:
        said.append(f"{len(made.found) - entered:,} were there already")
    if made.incomplete:
        said.append(f"{made.incomplete:,} lack one of {', '.join(outcomes.TOKENS)}")
    typer.echo("; ".join(said))
    typer.echo(f"{needed:,} more are needed before savings are estimated" if needed else "savings are estimated")
