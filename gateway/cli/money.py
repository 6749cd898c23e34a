"""The verbs about money: `report` and `plan`."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from breakeven.gateway.cli.options import console
from breakeven.gateway.config.load import load_config


def report(
    config: Annotated[Path, typer.Option("--config", "-c", envvar="BREAKEVEN_CONFIG", help="The config file.")] = Path(
        "breakeven.yaml"
    ),
    since: Annotated[str | None, typer.Option(help="Start, such as 2026-11-01 or 2026-11-01T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="End, not included; default: now.")] = None,
    by: Annotated[
        str,
        typer.Option(help="Group by these, with commas: day, hour, route, upstream, key, reason, endpoint, pinned."),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print the groups as CSV; by day where --by is not given.")
    ] = False,
    chart: Annotated[
        bool, typer.Option("--chart", help="Draw savings against the investment in the terminal.")
    ] = False,
    png: Annotated[Path | None, typer.Option(help="Write the same chart as PNG.")] = None,
) -> None:
    """Print spend by route, baseline, hosting, savings, payback and the student's effective price."""
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.ledger.statements import grouped, read
    from breakeven.gateway.reports import chart as charts
    from breakeven.gateway.reports import report as reporting

    start, end = moment("--since", since), moment("--until", until)
    if start is not None and end is not None and start >= end:
        raise ValueError("--since must be before --until")
    names = [name.strip() for name in by.split(",") if name.strip()] or (["day"] if as_csv else [])
    now = time.time_ns() // 1000
    with read_ledger(load_config(config)) as ledger:
        books = read(ledger, now, start, end)
        statement = books.statement
        groups = grouped(ledger, names, start, end) if names else []
        invested, price_sets = ledger.investments(), ledger.contradictions(now)
    if png is not None:
        charts.draw(books.curve, books.projection, statement.investment, png)
    rows = reporting.groups_to_rows(names, groups)
    if as_csv:
        typer.echo(reporting.to_csv(rows, reporting.group_columns(names)), nl=False)
        return
    if as_json:
        more = {
            "projection": reporting.projection_to_dict(books.projection),
            "investments": reporting.investments_to_rows(invested),
            "price_sets": price_sets,
            **({"groups": rows} if names else {}),
        }
        typer.echo(json.dumps(reporting.to_dict(statement) | reporting.quality_to_dict(books) | more, indent=1))
        return
    for table in reporting.render(statement):
        console().print(table)
    if statement.investment:
        for line in reporting.describe_investments(invested):
            typer.echo(line)
        typer.echo(reporting.describe(books.projection))
    for line in reporting.describe_quality(books):
        typer.echo(line)
    if price_sets > 1:
        typer.echo(f"Warning: gateways with {price_sets} different sets of prices write to this ledger.")
    if names:
        console().print(reporting.render_groups(names, groups))
    if chart:
        for line in charts.text(books.curve, statement.investment):
            typer.echo(line)
    if png is not None:
        typer.echo(f"chart: {png}")


def invest(
    name: Annotated[str, typer.Argument(help="What for, such as data, training, evaluation or labour.")],
    usd: Annotated[str, typer.Argument(help="How much, in USD; again with the same name corrects it.")],
    config: Annotated[Path, typer.Option("--config", "-c", envvar="BREAKEVEN_CONFIG", help="The config file.")] = Path(
        "breakeven.yaml"
    ),
    at: Annotated[str | None, typer.Option(help="When, such as 2026-11-01; default: now.")] = None,
) -> None:
    """Enter a one-time cost into the ledger, beside economics.investment_usd of the config."""
    if not 1 <= len(name) <= 128 or name == "config":
        raise ValueError("the name must have 1 to 128 characters; config is the one of the config file")
    when = moment("--at", at)
    typer.echo(enter_investment(config, name, usd, when))


def enter_investment(config: Path, name: str, usd: str, when: int | None = None) -> str:
    """Enter an investment, or correct the one of that name; what to say. `when` in microseconds; None: now."""
    from breakeven.gateway.accounting.money import dollars
    from breakeven.gateway.ledger import Investment
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.reports import plan as planning

    at = time.time_ns() // 1000 if when is None else when
    with read_ledger(load_config(config), create=True) as ledger:
        ledger.invest(Investment(name, at, planning.usd_option("USD", usd)))
        total = ledger.investment()
    return f"invested so far: {dollars(total)}"


def purge(
    config: Annotated[Path, typer.Option("--config", "-c", envvar="BREAKEVEN_CONFIG", help="The config file.")] = Path(
        "breakeven.yaml"
    ),
    before: Annotated[
        str | None, typer.Option(help="Only those before this, such as 2026-11-01; default: all.")
    ] = None,
) -> None:
    """Remove prompts that ledger.store_prompts kept. Counts, money and outcomes stay."""
    from breakeven.gateway.ledger.opening import read_ledger

    with read_ledger(load_config(config)) as ledger:
        gone = ledger.purge_prompts(moment("--before", before))
    typer.echo(f"removed {gone:,} prompts")


def plan(
    input_tokens: Annotated[str, typer.Option(help="Prompt tokens a month, such as 80M.")],
    output_tokens: Annotated[str, typer.Option(help="Completion tokens a month.")] = "0",
    cached_tokens: Annotated[str, typer.Option(help="How many of the prompt tokens the teacher's API caches.")] = "0",
    input_usd: Annotated[str, typer.Option(help="Teacher's price: USD per million uncached prompt tokens.")] = "15",
    cached_usd: Annotated[str | None, typer.Option(help="USD per million cached ones; default: as uncached.")] = None,
    output_usd: Annotated[str, typer.Option(help="USD per million completion tokens.")] = "60",
    teacher_share: Annotated[str, typer.Option(help="Share of the tokens that still goes to the teacher.")] = "0.2",
    hosting_usd_per_hour: Annotated[str, typer.Option(help="What one replica of the student costs an hour.")] = "0",
    replicas: Annotated[int, typer.Option(min=1, help="Replicas that run at least.")] = 1,
    replica_tokens_per_second: Annotated[
        str | None, typer.Option(help="What one replica serves; default: it is always enough.")
    ] = None,
    student_usd_per_million: Annotated[str, typer.Option(help="For a student that is paid for by the token.")] = "0",
    examples: Annotated[int, typer.Option(min=0, help="Size of the dataset that the teacher generates.")] = 0,
    example_input_tokens: Annotated[int, typer.Option(min=0, help="Prompt tokens of one example.")] = 500,
    example_output_tokens: Annotated[int, typer.Option(min=0, help="Completion tokens of one example.")] = 500,
    training_usd: Annotated[str, typer.Option(help="Once, for training.")] = "0",
    evaluation_usd: Annotated[str, typer.Option(help="Once, for evaluation.")] = "0",
    labour_usd: Annotated[str, typer.Option(help="Once, for people.")] = "0",
    investment_usd: Annotated[
        list[str] | None, typer.Option(help="Once, instead of the parts; twice for a range: from and to.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw money over months and over volume as PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Before anything is built: what distilling costs, what it saves, and when it does not pay."""
    from breakeven.gateway.accounting.prices import price
    from breakeven.gateway.economics.periods import SECONDS_A_MONTH
    from breakeven.gateway.economics.plan import Assumptions, dataset_cost
    from breakeven.gateway.economics.plan import plan as work_out
    from breakeven.gateway.reports import plan as planning

    at = price(
        planning.usd_of("--input-usd", input_usd),
        None if cached_usd is None else planning.usd_of("--cached-usd", cached_usd),
        planning.usd_of("--output-usd", output_usd),
    )
    if investment_usd:
        once = [planning.item("investment", *(planning.usd_option("--investment-usd", one) for one in investment_usd))]
    else:
        once = [
            planning.item(
                f"data, {examples:,} examples", dataset_cost(examples, example_input_tokens, example_output_tokens, at)
            ),
            planning.item("training", planning.usd_option("--training-usd", training_usd)),
            planning.item("evaluation", planning.usd_option("--evaluation-usd", evaluation_usd)),
            planning.item("labour", planning.usd_option("--labour-usd", labour_usd)),
        ]
    speed = (
        None
        if replica_tokens_per_second is None
        else planning.usd_of("--replica-tokens-per-second", replica_tokens_per_second)
    )
    made = work_out(
        Assumptions(
            input_tokens=planning.tokens("--input-tokens", input_tokens),
            cached_tokens=planning.tokens("--cached-tokens", cached_tokens),
            output_tokens=planning.tokens("--output-tokens", output_tokens),
            teacher=at,
            teacher_share=Fraction(planning.usd_of("--teacher-share", teacher_share)),
            hosting_per_hour=planning.usd_option("--hosting-usd-per-hour", hosting_usd_per_hour),
            replicas=replicas,
            replica_tokens=None if speed is None else int(speed * SECONDS_A_MONTH),
            student_per_million=planning.usd_option("--student-usd-per-million", student_usd_per_million),
            one_time=tuple(once),
        )
    )
    if plot is not None:
        planning.draw(made, plot)
    if as_json:
        typer.echo(json.dumps(planning.to_dict(made), indent=1))
        return
    for table in planning.render(made):
        console().print(table)
    typer.echo(planning.verdict(made))
    if plot is not None:
        typer.echo(f"plot: {plot}")


def moment(option: str, text: str | None) -> int | None:
    """ISO 8601, in UTC where it names no zone, as microseconds since the epoch. Raises ValueError."""
    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{option}: not a date; write it as 2026-11-01 or 2026-11-01T12:00:00Z") from None
    return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1_000_000)
