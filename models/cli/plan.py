"""The command `breakeven distill plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Evaluations = Annotated[
    list[Path], typer.Argument(help="Folders of `breakeven distill evaluate`, one a student, on the same rows.")
]
Models = Annotated[
    list[Path] | None,
    typer.Option("--model", help="Model directory of each student, in the same order: size and training time."),
]


def plan(
    evaluations: Evaluations,
    models: Models = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare students by what they retain after short runs, and say which one to train on."""
    from breakeven.models.errors import DistillError
    from breakeven.models.evaluate import students

    if len(evaluations) < 2:
        raise DistillError("give the folders of at least two evaluations, one for each student")
    if models and len(models) != len(evaluations):
        raise DistillError(f"--model: {len(models)} given for {len(evaluations)} evaluations; give one for each")
    of_models: list[Path | None] = [*models] if models else [None] * len(evaluations)
    runs = [students.load(one, model) for one, model in zip(evaluations, of_models, strict=True)]
    found = students.compare(runs)
    typer.echo(json.dumps(students.to_dict(found), indent=1) if as_json else "\n".join(students.lines(found)))
