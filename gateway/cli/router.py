"""The verbs about the router: `route`, `train`, `evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from breakeven.gateway.cli.options import DEFAULT_CONFIG, ConfigPath, console
from breakeven.gateway.config.load import load_config


def route(
    text: Annotated[str, typer.Argument(help="The prompt, or - to read it from standard input.")],
    config: ConfigPath = DEFAULT_CONFIG,
    artifact: Annotated[Path | None, typer.Option(help="Another artifact than the config's.")] = None,
    threshold: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Another threshold.")] = None,
) -> None:
    """Explain where a prompt would go, and why. Needs no config file: without one the defaults hold."""
    from breakeven.gateway.cli.explain import explain

    settings = load_config(config) if config.exists() or config != DEFAULT_CONFIG else None
    prompt = sys.stdin.read() if text == "-" else text
    for line in explain(prompt, settings, artifact, threshold):
        typer.echo(line)


def train(
    out: Annotated[Path, typer.Option(help="Directory of the artifact to write.")],
    outcomes: Annotated[
        list[Path] | None, typer.Argument(help="Outcome rows: JSONL, or JSONL in gzip.", show_default=False)
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only rows with this split; default: train, if any.")] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(help="Prompts that the student was distilled on: JSONL; default: the rows.")
    ] = None,
    prior: Annotated[Path | None, typer.Option(help="Artifact to start from where rows are few, or `shipped`.")] = None,
    from_ledger: Annotated[
        bool,
        typer.Option(
            "--from-ledger",
            help="Train on what shadow traffic and users said, beside any rows given; the artifact in service is the "
            "prior, and --out is replaced only where the new one is better on the newest rows.",
        ),
    ] = False,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="With --from-ledger: how sure it must be that it is better.")
    ] = 0.9,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Train the router on outcome rows, and its novelty signal on the reference set, and write an artifact.

    With --from-ledger exit code 3 means that the router in service stays.
    """
    from breakeven.router import outcomes as rows
    from breakeven.router.model.artifact import load
    from breakeven.router.training.train import train as fit_and_write

    if not outcomes and not from_ledger:
        raise ValueError("give outcome rows, or --from-ledger")
    chosen = split or (rows.default_split(outcomes, "train") if outcomes else None)
    read = rows.read(outcomes, chosen) if outcomes else []
    if from_ledger:
        from breakeven.gateway.cli.learn import learn

        if reference or prior:
            raise ValueError("--from-ledger starts from the artifact in service: leave out --reference and --prior")
        learned = learn(load_config(config), out, confidence, read, [path.name for path in outcomes or []])
        for line in learned.lines(out):
            typer.echo(line)
        raise typer.Exit(0 if learned.live else 3)
    assert outcomes
    known = rows.read_texts(reference) if reference else None
    sources = [f"{path.name}{f' ({chosen})' if chosen else ''}" for path in outcomes]
    start = load(None if prior == Path("shipped") else prior) if prior is not None else None
    digest = fit_and_write(read, out, sources=sources, reference=known, prior=start)
    typer.echo(f"{out}: artifact {digest}, trained on {len(read)} rows{f' of split {chosen}' if chosen else ''}")


def evaluate(
    outcomes: Annotated[list[Path], typer.Argument(help="Outcome rows that the router was not trained on.")],
    artifact: Annotated[Path | None, typer.Option(help="The artifact; default: the one that ships.")] = None,
    split: Annotated[str | None, typer.Option(help="Only rows with this split; default: test, if any.")] = None,
    plot: Annotated[Path, typer.Option(help="Where the cost-quality curve goes.")] = Path("cost-quality.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure a router: APGR, CPT, AUROC, Brier, ECE with intervals, beside length and random."""
    from breakeven.router import outcomes as rows
    from breakeven.router.evaluation.evaluate import draw, measure
    from breakeven.router.model.artifact import load

    read = rows.read(outcomes, split or rows.default_split(outcomes, "test"))
    loaded = load(artifact)
    evaluation = measure(read, loaded.assess)
    draw(evaluation, plot)
    if as_json:
        typer.echo(json.dumps(evaluation.to_dict() | {"artifact": loaded.hash}, indent=1))
        return
    console().print(evaluation.table(f"artifact {loaded.hash} on {evaluation.rows} rows"))
    typer.echo(f"cost-quality curve: {plot}")
