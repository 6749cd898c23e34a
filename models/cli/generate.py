"""The command `breakeven distill generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from breakeven.gateway.accounting.money import amount
from breakeven.gateway.wire.refusals import LIMITS
from breakeven.models.cli.investment import enter_investment
from breakeven.models.cli.options import INCOMPLETE, Concurrency, Config, MaxTokens, SkipBad
from breakeven.models.errors import DistillError

if TYPE_CHECKING:
    from breakeven.models.data.prompts import Prompts
    from breakeven.models.generate.run import Settings

PromptFiles = Annotated[
    list[Path], typer.Argument(help="Files, dataset folders or names on the hub: prompts in any known format.")
]
Out = Annotated[Path, typer.Option(help="Directory of the dataset. Run again with the same one to resume.")]
BaseUrl = Annotated[str, typer.Option(help="Base URL of the teacher's OpenAI-compatible API, ending in /v1.")]
Model = Annotated[str, typer.Option(help="Name of the teacher model at that API.")]
MaxUsd = Annotated[str, typer.Option(help="Hard spending limit for this dataset over all runs, in USD.")]
InputUsd = Annotated[str, typer.Option(help="USD per million prompt tokens.")]
OutputUsd = Annotated[str, typer.Option(help="USD per million output tokens.")]
CachedUsd = Annotated[
    str | None, typer.Option(help="USD per million cached prompt tokens; the same as --input-usd by default.")
]
ApiKeyEnv = Annotated[str | None, typer.Option(help="Environment variable that holds the teacher's API key.")]
Consent = Annotated[
    bool,
    typer.Option(
        "--i-may-train-on-these-outputs",
        help="Confirm that the teacher's terms allow training on its outputs. Needed once per dataset.",
    ),
]
EvalShare = Annotated[
    float, typer.Option(min=0.0, max=0.9, help="Share of prompts held out for evaluation (0-0.9), chosen by a hash.")
]
Synthesize = Annotated[int, typer.Option(min=0, help="Number of new prompts to have the teacher write from yours.")]
Aim = Annotated[
    Path | None,
    typer.Option(
        help="With --synthesize: folder of an evaluation; new prompts are of the kinds that its student lost most on."
    ),
]
BestOf = Annotated[
    int,
    typer.Option(
        min=1,
        max=64,
        help="Most answers to a row with checker and reference: it is asked again until one is right, and left out "
        "where none is.",
    ),
]
TopLogprobs = Annotated[
    int, typer.Option(min=0, max=20, help="Number of alternatives per token whose log-probabilities are stored.")
]
Temperature = Annotated[
    float | None, typer.Option(min=0.0, max=2.0, help="Sampling temperature; the API's default if not given.")
]
System = Annotated[Path | None, typer.Option(help="File with a system message that is added to prompts without one.")]
LimitField = Annotated[
    str,
    typer.Option(
        help="Request field that limits the output, max_tokens or max_completion_tokens; where the model refuses it, "
        "the other one is used."
    ),
]
KeepRefusals = Annotated[bool, typer.Option("--keep-refusals", help="Keep refused answers in the dataset.")]
Batch = Annotated[bool, typer.Option("--batch", help="Use the API's batch endpoint: cheaper, answers within 24 hours.")]
BatchDiscount = Annotated[str, typer.Option(help="Discount of the batch endpoint, such as 0.5 for half price.")]
BatchRows = Annotated[int, typer.Option(min=1, max=50_000, help="Maximum number of rows of a batch.")]
PollSeconds = Annotated[float, typer.Option(min=0.01, help="Seconds between two status requests for batches.")]
ForgetBatches = Annotated[
    bool,
    typer.Option(
        "--forget-batches", help="Discard batches in progress: count them as possibly paid and send their rows again."
    ),
]
TimeoutSeconds = Annotated[float, typer.Option(min=0.1, help="Longest time without a byte from the API, in seconds.")]
PatienceSeconds = Annotated[float, typer.Option(min=0.0, help="Stop after this many seconds without an answer.")]


def generate(
    context: typer.Context,
    prompts: PromptFiles,
    out: Out,
    base_url: BaseUrl,
    model: Model,
    max_usd: MaxUsd,
    input_usd: InputUsd,
    output_usd: OutputUsd,
    cached_usd: CachedUsd = None,
    api_key_env: ApiKeyEnv = None,
    consent: Consent = False,
    concurrency: Concurrency = 16,
    eval_share: EvalShare = 0.1,
    skip_bad: SkipBad = False,
    synthesize: Synthesize = 0,
    aim: Aim = None,
    best_of: BestOf = 1,
    top_logprobs: TopLogprobs = 0,
    max_tokens: MaxTokens = 1024,
    temperature: Temperature = None,
    system: System = None,
    limit_field: LimitField = "max_tokens",
    keep_refusals: KeepRefusals = False,
    batch: Batch = False,
    batch_discount: BatchDiscount = "0.5",
    batch_rows: BatchRows = 50_000,
    poll_seconds: PollSeconds = 30.0,
    forget_batches: ForgetBatches = False,
    timeout_seconds: TimeoutSeconds = 120.0,
    patience_seconds: PatienceSeconds = 300.0,
    config: Config = None,
) -> None:
    """Collect the teacher's answers to your prompts as a dataset. Exits 3 if it stopped before the end."""
    options = dict(locals())
    from breakeven.models.client.session import read_text
    from breakeven.models.data.prompts import read
    from breakeven.models.generate import generate as generating

    found = read(prompts, system=read_text("--system", system) if system else None, skip_bad=skip_bad)
    settings = _settings(options)
    _report_skipped(found)
    made = generating.generate(settings, found, Console(stderr=True))
    for line in generating.summary(made.facts, out):
        typer.echo(line)
    enter_investment(context, config, f"data:{out.name}", made.facts["cost"]["usd"])
    if made.stop is not None:
        typer.echo(f"breakeven: stopped: {made.stop.message}", err=True)
        raise typer.Exit(INCOMPLETE)


def _settings(options: dict[str, Any]) -> Settings:
    """The settings of a run from the command's options by name. Raises ValueError for an invalid one."""
    from breakeven.models.client.budget import prices, share
    from breakeven.models.client.session import api_key
    from breakeven.models.generate.run import Batching, Settings

    if options["limit_field"] not in LIMITS:
        raise DistillError(f"--limit-field {options['limit_field']}: must be {' or '.join(LIMITS)}")
    if options["aim"] is not None and not options["synthesize"]:
        raise DistillError("--aim says what new prompts are about: give their number with --synthesize")
    same = {name: value for name, value in options.items() if name in Settings._fields}
    batching = None
    if options["batch"]:
        discount = share("--batch-discount", options["batch_discount"])
        batching = Batching(discount, options["batch_rows"], options["poll_seconds"])
    return Settings(
        **same
        | {
            "api_key": api_key(options["api_key_env"]),
            "prices": prices(options["input_usd"], options["output_usd"], options["cached_usd"]),
            "max_usd": amount("--max-usd", options["max_usd"]),
            "batch": batching,
        }
    )


def _report_skipped(found: Prompts) -> None:
    for bad in found.bad:
        typer.echo(f"skipped: {bad}", err=True)
    if found.bad:
        typer.echo(f"skipped {len(found.bad)} of {found.rows} rows", err=True)
    if found.answers:
        typer.echo(f"{found.answers} rows hold an answer: it is left out, and the teacher is asked again", err=True)
