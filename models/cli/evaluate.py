"""The command `breakeven distill evaluate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from breakeven.gateway.accounting.money import amount
from breakeven.models.cli.investment import enter_investment
from breakeven.models.cli.options import INCOMPLETE, Concurrency, Config, MaxTokens, SkipBad

if TYPE_CHECKING:
    from breakeven.models.evaluate.evaluate import Endpoint, Settings

Rows = Annotated[
    list[Path], typer.Argument(help="Held-out rows with answers, such as eval.jsonl; files, folders, names on the hub.")
]
Out = Annotated[
    Path, typer.Option(help="Directory of the report and the outcome rows. Run again with the same one to resume.")
]
StudentUrl = Annotated[str, typer.Option(help="Base URL of the student's API, ending in /v1.")]
StudentModel = Annotated[str, typer.Option(help="Name of the student model at that API.")]
ScorerName = Annotated[
    str,
    typer.Option(
        help="exact, numeric, json, contains, choice, row (each row's own checker), judge, or module:function."
    ),
]
TeacherUrl = Annotated[
    str | None,
    typer.Option(help="Base URL of the teacher's API, to ask it again; by default the rows' answers are used."),
]
TeacherModel = Annotated[str | None, typer.Option(help="Name of the teacher model at that API.")]
InputUsd = Annotated[str, typer.Option(help="Teacher's price in USD per million prompt tokens.")]
OutputUsd = Annotated[str, typer.Option(help="Teacher's price in USD per million output tokens.")]
HostingUsd = Annotated[float, typer.Option(min=0.0, help="Price of the student's machine in USD per hour.")]
JudgeUrl = Annotated[str | None, typer.Option(help="Base URL of the judge's API, ending in /v1.")]
JudgeModel = Annotated[str | None, typer.Option(help="Name of the judge model at that API.")]
PanelModel = Annotated[
    list[str] | None,
    typer.Option(help="A further judge at the same API and prices, or MODEL@URL at another one; may be repeated."),
]
PanelRule = Annotated[str, typer.Option(help="How a panel judges: mean (of the scores) or majority (of the verdicts).")]
JudgeInputUsd = Annotated[str, typer.Option(help="Judge's price in USD per million prompt tokens.")]
JudgeOutputUsd = Annotated[str, typer.Option(help="Judge's price in USD per million output tokens.")]
JudgeMaxTokens = Annotated[
    int, typer.Option(min=64, help="Maximum number of tokens of a verdict, with what a reasoning judge thinks first.")
]
Rubric = Annotated[Path | None, typer.Option(help="File with a rubric that replaces the judge's default one.")]
MaxUsd = Annotated[str | None, typer.Option(help="Hard spending limit for teacher and judge over all runs, in USD.")]
Temperature = Annotated[
    float, typer.Option(min=0.0, max=2.0, help="Sampling temperature of the student and the teacher.")
]
Worst = Annotated[int, typer.Option(min=0, help="Number of worst answers to show in the report.")]
StudentKeyEnv = Annotated[str | None, typer.Option(help="Environment variable that holds the student's API key.")]
TeacherKeyEnv = Annotated[str | None, typer.Option(help="Environment variable that holds the teacher's API key.")]
JudgeKeyEnv = Annotated[str | None, typer.Option(help="Environment variable that holds the judge's API key.")]


def evaluate(
    context: typer.Context,
    rows: Rows,
    out: Out,
    student_url: StudentUrl,
    student_model: StudentModel,
    scorer: ScorerName,
    student_key_env: StudentKeyEnv = None,
    teacher_url: TeacherUrl = None,
    teacher_model: TeacherModel = None,
    teacher_key_env: TeacherKeyEnv = None,
    input_usd: InputUsd = "0",
    output_usd: OutputUsd = "0",
    hosting_usd_per_hour: HostingUsd = 0.0,
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    judge_key_env: JudgeKeyEnv = None,
    judge_max_tokens: JudgeMaxTokens = 8192,
    panel_model: PanelModel = None,
    panel_rule: PanelRule = "mean",
    judge_input_usd: JudgeInputUsd = "0",
    judge_output_usd: JudgeOutputUsd = "0",
    rubric: Rubric = None,
    max_usd: MaxUsd = None,
    max_tokens: MaxTokens = 1024,
    temperature: Temperature = 0.0,
    concurrency: Concurrency = 8,
    worst: Worst = 10,
    skip_bad: SkipBad = False,
    config: Config = None,
) -> None:
    """Compare the student with the teacher and write outcome rows. Exits 3 if it stopped before the end."""
    options = dict(locals())
    from breakeven.models.data.rows import read
    from breakeven.models.evaluate import evaluate as evaluating

    settings = _settings(options)
    report, stop = evaluating.evaluate(
        settings, read(rows, skip_bad=skip_bad, skipped=partial(typer.echo, err=True)), Console(stderr=True)
    )
    typer.echo((out / "report.md").read_text(encoding="utf-8"), nl=False)
    if report["fault"] is None:
        rows_path = out / "outcomes.jsonl"
        typer.echo(f"\noutcome rows: {rows_path}; next: breakeven train {rows_path} --out ROUTER")
    enter_investment(context, config, f"evaluation:{out.name}", report["cost"]["usd"])
    if stop is not None:
        typer.echo(f"breakeven: stopped: {stop.message}", err=True)
        raise typer.Exit(INCOMPLETE)
    if report["fault"] is not None:
        raise ValueError(report["fault"])


def _settings(options: dict[str, Any]) -> Settings:
    """The settings of a run from the command's options by name. Raises ValueError for an invalid one."""
    from breakeven.models.client.budget import prices
    from breakeven.models.client.session import api_key, read_text
    from breakeven.models.evaluate.evaluate import Endpoint, Settings, endpoint

    teacher_prices = prices(options["input_usd"], options["output_usd"])
    judge_prices = prices(options["judge_input_usd"], options["judge_output_usd"])
    keys = {role: api_key(options[f"{role}_key_env"]) for role in ("student", "teacher", "judge")}
    judge = endpoint("judge", options["judge_url"], options["judge_model"], keys["judge"], judge_prices)
    same = {name: value for name, value in options.items() if name in Settings._fields}
    made = same | {
        "student": Endpoint(options["student_url"], options["student_model"], keys["student"], prices("0", "0")),
        "teacher": endpoint(
            "teacher", options["teacher_url"], options["teacher_model"], keys["teacher"], teacher_prices
        ),
        "judge": judge,
        "panel": _panel(judge, options["panel_model"] or []),
        "teacher_prices": teacher_prices,
        "max_usd": None if options["max_usd"] is None else amount("--max-usd", options["max_usd"]),
    }
    if options["panel_rule"] not in ("mean", "majority"):
        raise ValueError(f"--panel-rule {options['panel_rule']}: must be mean or majority")
    rubric = made.pop("rubric")
    return Settings(**made | ({"rubric": read_text("--rubric", rubric)} if rubric else {}))


def _panel(judge: Endpoint | None, named: list[str]) -> tuple[Endpoint, ...]:
    """The further judges, each with the first one's API, key and prices, or `MODEL@URL`. Raises ValueError."""
    if judge is None:
        if named:
            raise ValueError("--panel-model needs --judge-url and --judge-model, the first judge")
        return ()
    found = [judge]
    for one in named:
        model, at, url = one.rpartition("@")
        if not at or "://" not in url:
            model, url = one, judge.base_url
        if any((other.model, other.base_url) == (model, url) for other in found):
            raise ValueError(f"--panel-model {one}: this judge is there twice")
        found.append(judge._replace(model=model, base_url=url))
    return tuple(found[1:])
