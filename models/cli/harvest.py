"""The command `breakeven distill harvest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from breakeven.models.cli.ledger import LedgerAccess

Config = Annotated[
    Path, typer.Option("--config", "-c", help="Config file of the gateway whose ledger holds the conversations.")
]
Out = Annotated[Path, typer.Option(help="Directory of the dataset. An earlier harvest in it is replaced.")]
Workload = Annotated[str | None, typer.Option(help="Only conversations of this workload.")]
Since = Annotated[str | None, typer.Option(help="Only conversations from then on, such as 2026-11-01.")]
Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason",
        help="Only conversations that are there for it: lost (a comparison), feedback (bad, of a user), escalated, "
        "difficult, novel, or other. Can be repeated.",
    ),
]
Rows = Annotated[
    int | None, typer.Option(min=1, help="Most training rows, drawn by measured loss; default: all, with weights.")
]
Rehearse = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="With --rows, the share for what the student is not known to lack.")
]
EvalShare = Annotated[
    float,
    typer.Option(min=0.0, max=0.9, help="Share of conversations held out for evaluation (0-0.9), chosen by a hash."),
]
Similar = Annotated[
    float, typer.Option(min=0.1, max=1.0, help="Similarity from which a conversation is a near-duplicate (0.1-1).")
]
Consent = Annotated[
    bool,
    typer.Option(
        "--i-may-train-on-these-outputs",
        help="Confirm that the teacher's terms allow training on its outputs. Needed once per dataset.",
    ),
]


def harvest(
    context: typer.Context,
    out: Out,
    config: Config = Path("breakeven.yaml"),
    workload: Workload = None,
    since: Since = None,
    reasons: Reasons = None,
    rows: Rows = None,
    rehearse: Rehearse = 0.2,
    eval_share: EvalShare = 0.1,
    similar: Similar = 0.85,
    consent: Consent = False,
) -> None:
    """Make a dataset of the conversations that the gateway has stored, whose answers are paid for already."""
    from breakeven.models.errors import DistillError
    from breakeven.models.harvest.card import summary
    from breakeven.models.harvest.duplicates import require_datasketch
    from breakeven.models.harvest.harvest import Settings
    from breakeven.models.harvest.harvest import harvest as harvesting

    if not isinstance(context.obj, LedgerAccess):
        raise DistillError("the conversations are in the gateway's ledger: run `breakeven distill harvest`")
    require_datasketch()
    settings = Settings(out, tuple(reasons or ()), rows, rehearse, eval_share, similar, consent)
    with Console(stderr=True).status("reading the ledger"):
        kept = context.obj.kept(config, workload, since)
    with Console(stderr=True).status(f"comparing {len(kept)} conversations"):
        facts = harvesting(settings, kept)
    for line in summary(facts, out):
        typer.echo(line)
