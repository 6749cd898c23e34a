"""The verbs of `breakeven distill`; each a thin function over the module of its name.

These modules know no ledger. Whoever mounts `app` may put a function into the context's `obj` that enters
an investment: `(config path, name, USD as text) -> what to say`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(name="distill", help="Make a student: generate, train, evaluate.", no_args_is_help=True)

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
    timeout_seconds: Annotated[float, typer.Option(min=0.1, help="Longest silence of the API.")] = 120.0,
    patience_seconds: Annotated[float, typer.Option(min=0.0, help="Stop after this long without an answer.")] = 300.0,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Enter the cost into this config's ledger.")
    ] = None,
) -> None:
    """Ask the teacher for answers to your prompts and write a dataset. Exits 3 where it stopped before the end."""
    from models.distill import generate as generating
    from models.distill.prompts import read
    from models.distill.session import api_key
    from models.distill.spend import amount, prices

    found = read(prompts, system=system.read_text(encoding="utf-8") if system else None, skip_bad=skip_bad)
    settings = generating.Settings(
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


def enter_investment(context: typer.Context, config: Path | None, name: str, usd: str) -> None:
    """Into the ledger of the config; without one, say how."""
    invest = context.obj
    if config is not None and callable(invest):
        typer.echo(invest(config, name, usd))
    else:
        typer.echo(f"to count it as an investment: breakeven invest {name} {usd}")
