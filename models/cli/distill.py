"""The verbs of `breakeven distill`; each a thin function over the module of its name.

These modules know no ledger. Whoever mounts `app` may put a function into the context's `obj` that enters
an investment: `(config path, name, USD as text) -> what to say`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from breakeven.gateway.accounting.money import amount
from breakeven.models.cli.investment import enter_investment
from breakeven.models.cli.train import train

app = typer.Typer(name="distill", help="Make a student: generate, train, evaluate.", no_args_is_help=True)
app.command()(train)

INCOMPLETE = 3


@app.command()
def generate(
    context: typer.Context,
    prompts: Annotated[list[Path], typer.Argument(help="JSONL rows with prompt or messages; category, reference…")],
    out: Annotated[Path, typer.Option(help="Folder of the dataset; the same again goes on.")],
    base_url: Annotated[str, typer.Option(help="The teacher's OpenAI-compatible API, with its /v1.")],
    model: Annotated[str, typer.Option(help="The teacher's name there.")],
    max_usd: Annotated[str, typer.Option(help="Hard limit of what this dataset may cost in all runs.")],
    input_usd: Annotated[str, typer.Option(help="USD per million prompt tokens.")],
    output_usd: Annotated[str, typer.Option(help="USD per million output tokens.")],
    cached_usd: Annotated[str | None, typer.Option(help="USD per million cached prompt tokens.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable with the key.")] = None,
    consent: Annotated[
        bool, typer.Option("--i-may-train-on-these-outputs", help="The teacher's terms allow it; once per dataset.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Calls at once, at most.")] = 16,
    eval_share: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share held out, by a hash.")] = 0.1,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without bad rows.")] = False,
    synthesize: Annotated[int, typer.Option(min=0, help="New prompts that the teacher writes from these.")] = 0,
    top_logprobs: Annotated[int, typer.Option(min=0, max=20, help="Store this many alternatives a token.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Output limit of an answer.")] = 1024,
    temperature: Annotated[float | None, typer.Option(min=0.0, max=2.0, help="Default: the API's.")] = None,
    system: Annotated[Path | None, typer.Option(help="File with a system message for prompts without one.")] = None,
    limit_field: Annotated[str, typer.Option(help="Or max_completion_tokens, which some models want.")] = "max_tokens",
    keep_refusals: Annotated[bool, typer.Option("--keep-refusals", help="Refusals are worth learning.")] = False,
    batch: Annotated[bool, typer.Option("--batch", help="Use the API's batches: cheaper, within a day.")] = False,
    batch_discount: Annotated[str, typer.Option(help="Share that batches take off the prices.")] = "0.5",
    batch_rows: Annotated[int, typer.Option(min=1, max=50_000, help="Rows of a batch, at most.")] = 50_000,
    poll_seconds: Annotated[float, typer.Option(min=0.01, help="Between two looks at a batch.")] = 30.0,
    forget_batches: Annotated[
        bool, typer.Option("--forget-batches", help="Count batches under way as possibly paid, and ask anew.")
    ] = False,
    timeout_seconds: Annotated[float, typer.Option(min=0.1, help="Longest silence of the API.")] = 120.0,
    patience_seconds: Annotated[float, typer.Option(min=0.0, help="Stop after this long without an answer.")] = 300.0,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Enter the cost into this config's ledger.")
    ] = None,
) -> None:
    """Ask the teacher for answers to your prompts and write a dataset. Exits 3 where it stopped before the end."""
    from breakeven.models.client.budget import prices, share
    from breakeven.models.client.session import api_key, read_text
    from breakeven.models.data.prompts import read
    from breakeven.models.generate import generate as generating
    from breakeven.models.generate.run import Batching, Settings

    found = read(prompts, system=read_text("--system", system) if system else None, skip_bad=skip_bad)
    settings = Settings(
        base_url=base_url,
        model=model,
        api_key=api_key(api_key_env),
        prices=prices(input_usd, output_usd, cached_usd),
        max_usd=amount("--max-usd", max_usd),
        out=out,
        consent=consent,
        concurrency=concurrency,
        eval_share=eval_share,
        synthesize=synthesize,
        top_logprobs=top_logprobs,
        max_tokens=max_tokens,
        temperature=temperature,
        limit_field=limit_field,
        keep_refusals=keep_refusals,
        timeout_seconds=timeout_seconds,
        patience_seconds=patience_seconds,
        batch=Batching(share("--batch-discount", batch_discount), batch_rows, poll_seconds) if batch else None,
        forget_batches=forget_batches,
    )
    for bad in found.bad:
        typer.echo(f"skipped: {bad.file}: line {bad.line}: {bad.reason}", err=True)
    if found.bad:
        typer.echo(f"skipped {len(found.bad)} of {found.rows} rows", err=True)
    made = generating.generate(settings, found, Console(stderr=True))
    for line in generating.summary(made.facts, out):
        typer.echo(line)
    enter_investment(context, config, f"data:{out.name}", made.facts["cost"]["usd"])
    if made.stop is not None:
        typer.echo(f"breakeven: stopped: {made.stop.message}", err=True)
        raise typer.Exit(INCOMPLETE)


@app.command()
def evaluate(
    context: typer.Context,
    rows: Annotated[list[Path], typer.Argument(help="Held-out rows with the teacher's answers: eval.jsonl.")],
    out: Annotated[Path, typer.Option(help="Folder of the report and the outcome rows; the same again goes on.")],
    student_url: Annotated[str, typer.Option(help="The student's API, with its /v1.")],
    student_model: Annotated[str, typer.Option(help="The student's name there.")],
    scorer: Annotated[
        str, typer.Option(help="exact, numeric, json, contains, choice, row (its checker), judge, or module:function.")
    ],
    student_key_env: Annotated[str | None, typer.Option(help="Environment variable with its key.")] = None,
    teacher_url: Annotated[str | None, typer.Option(help="Ask the teacher anew; default: the rows' answers.")] = None,
    teacher_model: Annotated[str | None, typer.Option(help="The teacher's name there.")] = None,
    teacher_key_env: Annotated[str | None, typer.Option(help="Environment variable with its key.")] = None,
    input_usd: Annotated[str, typer.Option(help="Teacher: USD per million prompt tokens.")] = "0",
    output_usd: Annotated[str, typer.Option(help="Teacher: USD per million output tokens.")] = "0",
    hosting_usd_per_hour: Annotated[float, typer.Option(min=0.0, help="Student: what its machine costs.")] = 0.0,
    judge_url: Annotated[str | None, typer.Option(help="The judge's API, with its /v1.")] = None,
    judge_model: Annotated[str | None, typer.Option(help="The judge's name there.")] = None,
    judge_key_env: Annotated[str | None, typer.Option(help="Environment variable with its key.")] = None,
    judge_input_usd: Annotated[str, typer.Option(help="Judge: USD per million prompt tokens.")] = "0",
    judge_output_usd: Annotated[str, typer.Option(help="Judge: USD per million output tokens.")] = "0",
    rubric: Annotated[Path | None, typer.Option(help="File with a rubric in place of the judge's own.")] = None,
    max_usd: Annotated[str | None, typer.Option(help="Hard limit of what teacher and judge cost.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Output limit of an answer.")] = 1024,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, help="Of student and teacher.")] = 0.0,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Calls at once, at most.")] = 8,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst answers to show.")] = 10,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without bad rows.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Enter the cost into this config's ledger.")
    ] = None,
) -> None:
    """Measure the student against the teacher and write outcome rows. Exits 3 where it stopped before the end."""
    from breakeven.models.client.budget import prices
    from breakeven.models.client.session import api_key, read_text
    from breakeven.models.data.rows import read
    from breakeven.models.evaluate import evaluate as evaluating
    from breakeven.models.scoring.judge import RUBRIC

    teacher_prices, judge_prices = prices(input_usd, output_usd), prices(judge_input_usd, judge_output_usd)

    settings = evaluating.Settings(
        student=evaluating.Endpoint(student_url, student_model, api_key(student_key_env), prices("0", "0")),
        out=out,
        scorer=scorer,
        teacher=evaluating.endpoint("teacher", teacher_url, teacher_model, api_key(teacher_key_env), teacher_prices),
        judge=evaluating.endpoint("judge", judge_url, judge_model, api_key(judge_key_env), judge_prices),
        teacher_prices=teacher_prices,
        rubric=read_text("--rubric", rubric) if rubric else RUBRIC,
        max_usd=None if max_usd is None else amount("--max-usd", max_usd),
        max_tokens=max_tokens,
        temperature=temperature,
        concurrency=concurrency,
        worst=worst,
        hosting_usd_per_hour=hosting_usd_per_hour,
    )
    report, stop = evaluating.evaluate(settings, read(rows, skip_bad=skip_bad), Console(stderr=True))
    typer.echo((out / "report.md").read_text(encoding="utf-8"), nl=False)
    typer.echo(f"\noutcome rows: {out / 'outcomes.jsonl'}; next: breakeven train {out / 'outcomes.jsonl'} --out ROUTER")
    enter_investment(context, config, f"evaluation:{out.name}", report["cost"]["usd"])
    if stop is not None:
        typer.echo(f"breakeven: stopped: {stop.message}", err=True)
        raise typer.Exit(INCOMPLETE)
