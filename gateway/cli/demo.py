"""`breakeven demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from breakeven.gateway.cli.options import console as standard_console


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the table instead of staying.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the gateway; another one where taken.")] = 8080,
    outcomes: Annotated[Path | None, typer.Option(help="Play this outcome file, which has both responses.")] = None,
    split: Annotated[str | None, typer.Option(help="Only rows with this split; default: test, if any.")] = None,
    threshold: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Instead of --teacher-share.")] = None,
    teacher_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of prompts to send up.")] = 0.25,
    artifact: Annotated[Path | None, typer.Option(help="Another router artifact.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Use real upstreams, given by the options below.")] = False,
    student_url: Annotated[str | None, typer.Option(help="Base URL of a live student, with its /v1.")] = None,
    student_model: Annotated[str, typer.Option(help="Model name at the live student.")] = "student",
    teacher_url: Annotated[str | None, typer.Option(help="Base URL of a live teacher, with its /v1.")] = None,
    teacher_model: Annotated[str, typer.Option(help="Model name at the live teacher.")] = "teacher",
    teacher_key_env: Annotated[str | None, typer.Option(help="Environment variable with its key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON at the end.")] = False,
) -> None:
    """Run everything on embedded parts: replayed upstreams, the gateway, traffic, and the savings table."""
    from breakeven.gateway.demo import DemoRow, Setup, from_outcomes, from_recorded, run
    from breakeven.models import recorded
    from breakeven.models.replay.server import estimate_tokens
    from breakeven.models.scoring import checkers

    if live != bool(student_url or teacher_url):
        raise ValueError("--live goes with --student-url, --teacher-url or both")
    recordings = recorded.load()
    rows = from_outcomes(outcomes, split, estimate_tokens) if outcomes is not None else from_recorded(recordings)
    setup = Setup(
        port=port,
        once=once,
        threshold=threshold,
        teacher_share=teacher_share,
        artifact=artifact,
        student={"base_url": student_url, "model": student_model} if student_url else None,
        teacher={"base_url": teacher_url, "model": teacher_model, "api_key_env": teacher_key_env}
        if teacher_url
        else None,
    )

    checks = {r.prompt: r for r in recordings}

    def check(row: DemoRow, answer: str) -> float:
        known = checks[row.prompt]
        return checkers.score(known.checker, known.reference, answer)

    # With --json standard output is for the figures alone.
    console = Console(stderr=True) if as_json else standard_console()
    figures = run(rows, setup, console, check if outcomes is None else None)
    if as_json:
        typer.echo(json.dumps(figures, indent=1))
