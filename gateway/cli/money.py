"""The commands on the ledger: `report`, `invest` and `purge`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from breakeven.gateway.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, parse_moment, require_plots, show, working
from breakeven.gateway.config.load import load_config

Since = Annotated[
    str | None,
    typer.Option(help="Start of the period, such as 2026-11-01, 2026-11-01T12:00:00Z, or 7d for a week ago."),
]
Until = Annotated[str | None, typer.Option(help="End of the period, exclusive; default: now.")]
GroupBy = Annotated[
    str,
    typer.Option(
        help="Comma-separated keys to group by: day, hour, route, upstream, key, workload, reason, endpoint, pinned."
    ),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print the groups as CSV; grouped by day unless --by is given.")]
Chart = Annotated[bool, typer.Option("--chart", help="Draw savings and investment over time in the terminal.")]
Png = Annotated[Path | None, typer.Option(help="Write the same chart to this PNG file; needs matplotlib.")]


def report(
    config: ConfigPath = DEFAULT_CONFIG,
    since: Since = None,
    until: Until = None,
    by: GroupBy = "",
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    chart: Chart = False,
    png: Png = None,
) -> None:
    """Print spend by upstream, baseline, hosting, savings, payback and the student's effective price per token."""
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.ledger.statements import grouped, read
    from breakeven.gateway.reports import chart as charts
    from breakeven.gateway.reports import report as reporting
    from breakeven.gateway.reports import report_text

    require_plots("--png", png)
    start, end = parse_moment("--since", since), parse_moment("--until", until)
    if start is not None and end is not None and start >= end:
        raise ValueError("--since must be before --until")
    now = time.time_ns() // 1000
    if start is not None and start > now:
        raise ValueError("--since is in the future, of which nothing is recorded; give an earlier date")
    names = [name.strip() for name in by.split(",") if name.strip()] or (["day"] if as_csv else [])
    settings = load_config(config)
    with working("reading the ledger"), read_ledger(settings) as ledger:
        books = read(ledger, now, start, end)
        groups = grouped(ledger, names, now, start, end) if names else []
        reported = ledger.reported(start, end)
        sets, has_student = ledger.contradictions(now), settings.student is not None
        entered = ledger.entered_pairs()
        found = reporting.Report(books, names, groups, ledger.investments(), sets, reported, has_student, entered)
    if chart:
        charts.require(books)
    if png is not None:
        charts.draw(books, png)
    if as_csv:
        rows = reporting.groups_to_rows(names, groups)
        typer.echo(reporting.to_csv(rows, reporting.group_columns(names)), nl=False)
    elif as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    else:
        show(report_text.lines(found))
        for sentence in settings.sources_of_prices():
            typer.echo(sentence)
        if chart:
            show(charts.text(books))
        if png is not None:
            typer.echo(f"chart: {png}")


def invest(
    name: Annotated[str, typer.Argument(help="Name of the cost, such as data, training, evaluation or labour.")],
    usd: Annotated[str, typer.Argument(help="Amount in USD. Recording the same name again replaces its amount.")],
    config: ConfigPath = DEFAULT_CONFIG,
    at: Annotated[str | None, typer.Option(help="When it was spent, such as 2026-11-01; default: now.")] = None,
) -> None:
    """Record a one-time cost in the ledger. It is added to economics.investment_usd of the config."""
    if not 1 <= len(name) <= 128 or name == "config":
        raise ValueError("the name must have 1 to 128 characters; `config` is reserved for economics.investment_usd")
    when = parse_moment("--at", at)
    typer.echo(enter_investment(config, name, usd, when))


def enter_investment(config: Path, name: str, usd: str, when: int | None = None) -> str:
    """Record an investment of `usd` USD in the ledger, or replace the amount recorded under `name`.

    `when` is in microseconds since the Unix epoch; None is now. Returns the line to print: the sum of all
    investments. Raises ValueError for a bad amount, ConfigError and LedgerError.
    """
    from breakeven.gateway.accounting.money import dollars
    from breakeven.gateway.ledger import Investment
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.reports.plan_options import usd_option

    at = time.time_ns() // 1000 if when is None else when
    with read_ledger(load_config(config), create=True) as ledger:
        ledger.invest(Investment(name, at, usd_option("USD", usd)))
        total = ledger.investment()
    return f"total investment: {dollars(total)}"


def purge(
    config: ConfigPath = DEFAULT_CONFIG,
    before: Annotated[
        str | None, typer.Option(help="Only those stored before this, such as 2026-11-01; default: all.")
    ] = None,
) -> None:
    """Delete the prompts and conversations that ledger.store_prompts and ledger.store_conversations stored. Counts,
    costs, outcomes and verdicts are kept.
    """
    from breakeven.gateway.ledger.opening import read_ledger

    with read_ledger(load_config(config)) as ledger:
        until = parse_moment("--before", before)
        prompts, conversations = ledger.purge_prompts(until), ledger.conversations.purge(until)
    typer.echo(f"removed {prompts:,} prompts and {conversations:,} conversations")
