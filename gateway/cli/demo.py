"""`breakeven demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from breakeven.gateway.cli.options import console as standard_console

Once = Annotated[bool, typer.Option("--once", help="Exit after the summary table; default: keep the gateway running.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port of the gateway; a free one is used if it is taken.")]
Outcomes = Annotated[
    Path | None,
    typer.Option(
        help="Outcome file with the prompts to send; rows need both models' responses. Default: the support desk."
    ),
]
Split = Annotated[str | None, typer.Option(help="Use only rows with this split; default: test, if any row has it.")]
Threshold = Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Routing threshold; replaces --teacher-share.")]
TeacherShare = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Route at once, with this share of prompts to the teacher. Default: begin at stage observe, and 0.25 with "
        "--outcomes, --artifact or --live.",
        show_default=False,
    ),
]
Floor = Annotated[float, typer.Option(min=0.01, max=0.999, help="Quality to promise, as a share of the teacher's.")]
Artifact = Annotated[Path | None, typer.Option(help="Directory of the router artifact; default: the shipped one.")]
Live = Annotated[bool, typer.Option("--live", help="Use real upstreams, given by --student-url and --teacher-url.")]
StudentUrl = Annotated[str | None, typer.Option(help="Base URL of a real student, including /v1.")]
StudentModel = Annotated[str, typer.Option(help="Model name at the real student.")]
TeacherUrl = Annotated[str | None, typer.Option(help="Base URL of a real teacher, including /v1.")]
TeacherModel = Annotated[str, typer.Option(help="Model name at the real teacher.")]
TeacherKey = Annotated[str | None, typer.Option(help="Environment variable with the teacher's API key.")]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print the figures as JSON at the end; table and progress then go to standard error."),
]


def demo(
    once: Once = False,
    port: Port = 8080,
    outcomes: Outcomes = None,
    split: Split = None,
    threshold: Threshold = None,
    teacher_share: TeacherShare = None,
    floor: Floor = 0.95,
    artifact: Artifact = None,
    live: Live = False,
    student_url: StudentUrl = None,
    student_model: StudentModel = "student",
    teacher_url: TeacherUrl = None,
    teacher_model: TeacherModel = "teacher",
    teacher_key_env: TeacherKey = None,
    as_json: Json = False,
) -> None:
    """Run a gateway between two replayed models, send it recorded prompts, and print what it keeps and saves."""
    from breakeven.gateway.demo import DemoRow, Setup, from_outcomes, from_recorded, run
    from breakeven.gateway.demo.settings import TEACHER_SHARE
    from breakeven.models import recorded
    from breakeven.models.replay.server import estimate_tokens
    from breakeven.models.scoring import checkers

    if live != bool(student_url or teacher_url):
        raise ValueError("--live needs --student-url, --teacher-url or both, and they need --live")
    # Real models answer general questions; only its own student knows the commands of the support desk.
    recordings = recorded.load() if live else recorded.load_desk()
    at_once = live or any(given is not None for given in (outcomes, threshold, teacher_share, artifact))
    rows = from_outcomes(outcomes, split, estimate_tokens) if outcomes is not None else from_recorded(recordings)
    teacher: dict[str, object] = {"base_url": teacher_url, "model": teacher_model, "api_key_env": teacher_key_env}
    setup = Setup(
        port=port,
        once=once,
        stages=not at_once,
        floor=floor,
        threshold=threshold,
        teacher_share=TEACHER_SHARE if teacher_share is None else teacher_share,
        artifact=artifact,
        student={"base_url": student_url, "model": student_model} if student_url else None,
        teacher=teacher if teacher_url else None,
    )
    checks = {r.prompt: r for r in recordings}

    def check(row: DemoRow, answer: str) -> float:
        known = checks[row.prompt]
        return checkers.score(known.checker, known.reference, answer)

    # With --json, standard output must hold nothing but the figures.
    console = Console(stderr=True) if as_json else standard_console()
    figures = run(rows, setup, console, check if outcomes is None else None)
    if as_json:
        typer.echo(json.dumps(figures, indent=1))
