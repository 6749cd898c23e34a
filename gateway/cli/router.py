"""The commands on the router: `route`, `train` and `evaluate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from breakeven.gateway.cli.options import (
    DEFAULT_CONFIG,
    PLOT_SKIPPED,
    AsJson,
    ConfigPath,
    OtherArtifact,
    console,
    plot_path,
    working,
)
from breakeven.gateway.config.load import load_config

if TYPE_CHECKING:
    from breakeven.router.outcomes import OutcomeRow
    from breakeven.router.training.train import Fit

TrainSplit = Annotated[
    str | None, typer.Option(help="Use only rows with this split; default: train, if any row has it.")
]
Reference = Annotated[
    list[Path] | None,
    typer.Option(
        help="JSONL file of prompts that the student was distilled on, the reference of the novelty signal; "
        "default: the outcome rows."
    ),
]
Prior = Annotated[Path | None, typer.Option(help="Artifact used as prior where there are few rows, or `shipped`.")]
FromLedger = Annotated[
    bool,
    typer.Option(
        "--from-ledger",
        help="Train on the ledger's outcomes (comparisons and feedback) and any files given. The artifact in "
        "service is the prior, and --out is replaced only if the new one is better on the newest rows.",
    ),
]


def route(
    text: Annotated[str, typer.Argument(help="The prompt, or - to read it from standard input.")],
    config: ConfigPath = DEFAULT_CONFIG,
    artifact: OtherArtifact = None,
    threshold: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Routing threshold; default: the config's.")
    ] = None,
) -> None:
    """Show which model a prompt would be routed to, and why. Without a config file the defaults apply."""
    from breakeven.gateway.cli.explain import explain

    settings = load_config(config) if config.exists() or config != DEFAULT_CONFIG else None
    prompt = sys.stdin.read() if text == "-" else text
    for line in explain(prompt, settings, artifact, threshold):
        typer.echo(line)


def train(
    out: Annotated[Path, typer.Option(help="Directory for the new router artifact.")],
    outcomes: Annotated[
        list[Path] | None, typer.Argument(help="Files of outcome rows: JSONL, optionally gzipped.", show_default=False)
    ] = None,
    split: TrainSplit = None,
    reference: Reference = None,
    prior: Prior = None,
    from_ledger: FromLedger = False,
    confidence: Annotated[
        float,
        typer.Option(
            min=0.5, max=1.0, help="With --from-ledger: the confidence required that the new router is better."
        ),
    ] = 0.9,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Train the router on outcome rows and its novelty signal on the reference set, and write an artifact.

    With --from-ledger, exit code 3 means that the router in service was kept.
    """
    from breakeven.router import outcomes as rows
    from breakeven.router.model.artifact import load
    from breakeven.router.training.train import fit, save

    if not outcomes and not from_ledger:
        raise ValueError("give files of outcome rows, or --from-ledger")
    chosen = split or (rows.default_split(outcomes, "train") if outcomes else None)
    read = rows.read(outcomes, chosen) if outcomes else []
    if from_ledger:
        from breakeven.gateway.cli.learn import learn

        if reference or prior:
            raise ValueError("--from-ledger uses the artifact in service as prior: leave out --reference and --prior")
        sources = [path.name for path in outcomes or []]
        with working("training on the ledger's outcomes") as advance:
            learned = learn(load_config(config), out, confidence, read, sources, advance)
        for line in learned.lines(out):
            typer.echo(line)
        raise typer.Exit(0 if learned.live else 3)
    assert outcomes
    known = rows.read_texts(reference) if reference else None
    sources = [f"{path.name}{f' ({chosen})' if chosen else ''}" for path in outcomes]
    start = load(None if prior == Path("shipped") else prior) if prior is not None else None
    with working(f"training on {len(read)} rows") as advance:
        fitted = fit(read, prior=None if start is None else start.difficulty, progress=advance)
        digest = save(fitted, read, out, sources=sources, reference=known, prior=start)
    typer.echo(f"{out}: artifact {digest}, trained on {len(read)} rows{f' of split {chosen}' if chosen else ''}")
    for line in _trained(fitted, read, out):
        typer.echo(line)


def _trained(fitted: Fit, rows: Sequence[OutcomeRow], out: Path) -> Iterator[str]:
    """What training found, for people, and what to do next."""
    from breakeven.router.outcomes import scores

    student, teacher = scores(rows)
    yield f"on {(student < teacher).mean():.1%} of the rows the student is worse than the teacher"
    found = fitted.held_out_auroc(student < teacher)
    if found is not None:
        yield (
            f"of two rows that it had not seen, on one of which the student is worse, it sends that one to the teacher "
            f"first in {found:.0%} of cases; 50% is chance (AUROC)"
        )
    yield f"next, with rows that it was not trained on: breakeven evaluate HELD-OUT.jsonl --artifact {out}"


def evaluate(
    outcomes: Annotated[list[Path], typer.Argument(help="Files of outcome rows that the router was not trained on.")],
    artifact: Annotated[
        Path | None, typer.Option(help="Directory of the router artifact; default: the shipped one.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Use only rows with this split; default: test, if any row has it.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="PNG file for the cost-quality curve; default: cost-quality.png if matplotlib is installed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a router: APGR, CPT, AUROC, Brier, ECE with intervals, compared with prompt-length and random routing."""
    from breakeven.router import outcomes as rows
    from breakeven.router.evaluation.evaluate import draw, measure
    from breakeven.router.model.artifact import load

    picture = plot_path("--plot", plot, "cost-quality.png")
    read = rows.read(outcomes, split or rows.default_split(outcomes, "test"))
    loaded = load(artifact)
    with working(f"scoring {len(read)} rows, and resampling them for intervals") as advance:
        evaluation = measure(read, loaded.assess, probabilities=not loaded.difficulty.ranks, progress=advance)
    if picture is not None:
        draw(evaluation, picture)
    if as_json:
        typer.echo(json.dumps(evaluation.to_dict() | {"artifact": loaded.hash}, indent=1))
        return
    console().print(evaluation.table(f"artifact {loaded.hash} on {evaluation.rows} rows"))
    typer.echo(PLOT_SKIPPED if picture is None else f"cost-quality curve: {picture}")
