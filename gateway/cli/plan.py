"""The command `plan`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breakeven.gateway.cli.money import Since, Until
from breakeven.gateway.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, parse_moment, require_plots, show, working

if TYPE_CHECKING:
    from breakeven.gateway.economics.plan import Plan
    from breakeven.gateway.reports.plan_from_ledger import Source
    from breakeven.gateway.reports.plan_options import Traffic

InputTokens = Annotated[
    str | None, typer.Option(help="Prompt tokens a month, such as 80M; required without --from-ledger.")
]
OutputTokens = Annotated[str, typer.Option(help="Completion tokens a month, such as 20M.")]
CachedTokens = Annotated[str, typer.Option(help="Prompt tokens a month that the teacher's API bills as cached.")]
InputUsd = Annotated[str, typer.Option(help="Teacher's price in USD per million uncached prompt tokens.")]
CachedUsd = Annotated[
    str | None, typer.Option(help="Teacher's price in USD per million cached prompt tokens; default: --input-usd.")
]
OutputUsd = Annotated[str, typer.Option(help="Teacher's price in USD per million completion tokens.")]
TeacherShare = Annotated[str, typer.Option(help="Share of the tokens that still goes to the teacher (0-1).")]
HostingUsd = Annotated[str, typer.Option(help="Cost of one replica of the student in USD per hour.")]
Replicas = Annotated[int, typer.Option(min=1, help="Minimum number of replicas.")]
ReplicaSpeed = Annotated[
    str | None, typer.Option(help="Tokens per second that one replica can serve; default: no limit.")
]
StudentUsd = Annotated[str, typer.Option(help="USD per million tokens, for a student that is billed by the token.")]
Examples = Annotated[int, typer.Option(min=0, help="Number of examples in the dataset that the teacher generates.")]
ExampleInput = Annotated[int, typer.Option(min=0, help="Prompt tokens per example.")]
ExampleOutput = Annotated[int, typer.Option(min=0, help="Completion tokens per example.")]
TrainingUsd = Annotated[str, typer.Option(help="One-time cost of training in USD.")]
EvaluationUsd = Annotated[str, typer.Option(help="One-time cost of evaluation in USD.")]
LabourUsd = Annotated[str, typer.Option(help="One-time cost of labour in USD.")]
InvestmentUsd = Annotated[
    list[str] | None,
    typer.Option(help="Total one-time cost in USD, replacing the parts above; give it twice for a range."),
]
FromLedger = Annotated[
    bool,
    typer.Option(
        "--from-ledger",
        help="Take tokens from the traffic in the ledger, and prices and hosting from the config; options override.",
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(help="Write a PNG of cumulative cost over months and cost by volume; needs matplotlib."),
]


def plan(
    context: typer.Context,
    input_tokens: InputTokens = None,
    output_tokens: OutputTokens = "0",
    cached_tokens: CachedTokens = "0",
    input_usd: InputUsd = "15",
    cached_usd: CachedUsd = None,
    output_usd: OutputUsd = "60",
    teacher_share: TeacherShare = "0.2",
    hosting_usd_per_hour: HostingUsd = "0",
    replicas: Replicas = 1,
    replica_tokens_per_second: ReplicaSpeed = None,
    student_usd_per_million: StudentUsd = "0",
    examples: Examples = 0,
    example_input_tokens: ExampleInput = 500,
    example_output_tokens: ExampleOutput = 500,
    training_usd: TrainingUsd = "0",
    evaluation_usd: EvaluationUsd = "0",
    labour_usd: LabourUsd = "0",
    investment_usd: InvestmentUsd = None,
    from_ledger: FromLedger = False,
    config: ConfigPath = DEFAULT_CONFIG,
    since: Since = None,
    until: Until = None,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Estimate what distilling would cost and save, when it breaks even, and whether it does, before you build it."""
    from breakeven.gateway.economics import plan as economics
    from breakeven.gateway.reports.plan_options import OneTimeCosts, Traffic, assumptions

    require_plots("--plot", plot)
    if input_tokens is None and not from_ledger:
        context.fail("Missing option '--input-tokens'.")
    traffic = Traffic(
        input_tokens=input_tokens or "0",
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        input_usd=input_usd,
        cached_usd=cached_usd,
        output_usd=output_usd,
        teacher_share=teacher_share,
        hosting_usd_per_hour=hosting_usd_per_hour,
        replicas=replicas,
        replica_tokens_per_second=replica_tokens_per_second,
        student_usd_per_million=student_usd_per_million,
    )
    source = _source(context, config, since, until) if from_ledger else None
    if source is not None:
        traffic = source.fill(traffic)
    elif since is not None or until is not None:
        raise ValueError("--since and --until are options of --from-ledger")
    dataset = (examples, example_input_tokens, example_output_tokens)
    costs = OneTimeCosts(*dataset, training_usd, evaluation_usd, labour_usd, tuple(investment_usd or ()))
    if source is not None:
        costs = source.fill_costs(costs)
    _print(economics.plan(assumptions(traffic, costs)), source, traffic, plot, as_json)


def _source(context: typer.Context, config: Path, since: str | None, until: str | None) -> Source:
    """The traffic of the ledger, the config, and the names of the options on the command line."""
    from breakeven.gateway.config.load import load_config
    from breakeven.gateway.ledger import monthly
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.reports.next_student import next_student
    from breakeven.gateway.reports.plan_from_ledger import Source
    from breakeven.gateway.reports.resemblance import EARLIER, NEWEST, resemblance
    from breakeven.gateway.runtime.promotion import known_experiment

    settings, now = load_config(config), time.time_ns() // 1000
    start, end = parse_moment("--since", since), parse_moment("--until", until)
    with working("reading the ledger"), read_ledger(settings) as ledger:
        found = monthly.read(ledger, now, start, end)
        texts = ledger.stored_prompts(found.since, found.until, NEWEST + EARLIER)
        following = next_student(ledger, settings, known_experiment(ledger))
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [name for name, one in sources.items() if one and one.name == "COMMANDLINE"]
    return Source(found, settings, now, given, resemblance(texts), following)


def _print(made: Plan, source: Source | None, traffic: Traffic, plot: Path | None, as_json: bool) -> None:
    from breakeven.gateway.reports import plan as planning
    from breakeven.gateway.reports import plan_from_ledger

    if plot is not None:
        planning.draw(made, plot)
    if as_json:
        measured = {} if source is None else {"from_ledger": plan_from_ledger.to_dict(source, made.assumptions)}
        typer.echo(json.dumps(planning.to_dict(made) | measured, indent=1))
        return
    before = source.parts(traffic) if source else ()
    after = source.conclusions(made.assumptions) if source else ()
    show([*before, *planning.render(made), planning.verdict(made), *after])
    if plot is not None:
        typer.echo(f"plot: {plot}")
