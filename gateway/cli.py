"""The `breakeven` command; one thin function per verb."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway import money_cli, tune_cli
from gateway.config import Config
from gateway.errors import BreakevenError, ConfigError
from gateway.loading import check_environment, load_config
from models.distill import cli as distill

app = typer.Typer(
    name="breakeven",
    help="A cost-and-quality routing gateway: a distilled student, its teacher, and the money that saves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", envvar="BREAKEVEN_CONFIG", help="The config file.", show_default=True)
]
_DEFAULT_CONFIG = Path("breakeven.yaml")


@app.command()
def serve(
    config: ConfigPath = _DEFAULT_CONFIG,
    host: Annotated[str | None, typer.Option(help="Overrides server.host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Overrides server.port.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Overrides server.workers.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the gateway."""
    from gateway import log, server
    from gateway.app import create_app
    from gateway.checks import open_services
    from gateway.workers import Supervisor
    from router import kernel

    log.configure(log_level)
    read = partial(_load, config, host, port, workers)
    settings = read()
    listener = server.bind(settings)
    artifact, ledger = open_services(settings)
    address, bound = listener.getsockname()[:2]
    say = partial(Console(stderr=True, soft_wrap=True).print, highlight=False)
    if not kernel.COMPILED:
        say("breakeven: a decision takes several times as long as it could; install a C compiler and Breakeven again")
    say(f"breakeven listens on http://{address}:{bound}")
    if settings.server.workers > 1:
        ledger.close()
        raise typer.Exit(Supervisor(settings, config.resolve(), log_level, listener).run())
    raise typer.Exit(server.serve(create_app(settings, artifact, ledger, read, config), settings, listener))


@app.command()
def check(config: ConfigPath = _DEFAULT_CONFIG) -> None:
    """Validate the config and print the effective one, without secrets. Exits 2 on an error."""
    import yaml

    from gateway.checks import check_services

    settings = _load(config)
    check_services(settings)
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), nl=False)


@app.command()
def route(
    text: Annotated[str, typer.Argument(help="The prompt, or - to read it from standard input.")],
    config: ConfigPath = _DEFAULT_CONFIG,
    artifact: Annotated[Path | None, typer.Option(help="Another artifact than the config's.")] = None,
    threshold: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Another threshold.")] = None,
) -> None:
    """Explain where a prompt would go, and why. Needs no config file: without one the defaults hold."""
    from gateway.explain import explain

    settings = load_config(config) if config.exists() or config != _DEFAULT_CONFIG else None
    prompt = sys.stdin.read() if text == "-" else text
    for line in explain(prompt, settings, artifact, threshold):
        typer.echo(line)


@app.command()
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
    config: ConfigPath = _DEFAULT_CONFIG,
) -> None:
    """Train the router on outcome rows, and its novelty signal on the reference set, and write an artifact.

    With --from-ledger exit code 3 means that the router in service stays.
    """
    from router import outcomes as rows
    from router.artifact import load
    from router.train import train as fit_and_write

    if not outcomes and not from_ledger:
        raise ValueError("give outcome rows, or --from-ledger")
    chosen = split or (rows.default_split(outcomes, "train") if outcomes else None)
    read = rows.read(outcomes, chosen) if outcomes else []
    if from_ledger:
        from gateway.learning import learn

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


@app.command()
def evaluate(
    outcomes: Annotated[list[Path], typer.Argument(help="Outcome rows that the router was not trained on.")],
    artifact: Annotated[Path | None, typer.Option(help="The artifact; default: the one that ships.")] = None,
    split: Annotated[str | None, typer.Option(help="Only rows with this split; default: test, if any.")] = None,
    plot: Annotated[Path, typer.Option(help="Where the cost-quality curve goes.")] = Path("cost-quality.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure a router: APGR, CPT, AUROC, Brier, ECE with intervals, beside length and random."""
    from router import outcomes as rows
    from router.artifact import load
    from router.evaluate import draw, measure

    read = rows.read(outcomes, split or rows.default_split(outcomes, "test"))
    loaded = load(artifact)
    evaluation = measure(read, loaded.assess)
    draw(evaluation, plot)
    if as_json:
        typer.echo(json.dumps(evaluation.to_dict() | {"artifact": loaded.hash}, indent=1))
        return
    _console().print(evaluation.table(f"artifact {loaded.hash} on {evaluation.rows} rows"))
    typer.echo(f"cost-quality curve: {plot}")


app.command()(tune_cli.tune)
app.command()(money_cli.report)
app.command()(money_cli.plan)
app.command()(money_cli.invest)
app.command()(money_cli.purge)


def _with_ledger(context: typer.Context) -> None:
    """Make a student from a teacher's answers."""
    context.obj = money_cli.enter_investment


app.add_typer(distill.app, name="distill", callback=_with_ledger)


@app.command()
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
    from gateway.demo import DemoRow, Setup, from_outcomes, from_recorded, run
    from models import checkers, recorded
    from models.replay import estimate_tokens

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
    console = Console(stderr=True) if as_json else _console()
    figures = run(rows, setup, console, check if outcomes is None else None)
    if as_json:
        typer.echo(json.dumps(figures, indent=1))


@app.command()
def student(
    model: Annotated[Path, typer.Option(help="Directory of the model.")],
    cpu: Annotated[bool, typer.Option("--cpu", help="Flags for a machine without a GPU.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    name: Annotated[str, typer.Option(help="Name that the model is served under.")] = "my-student",
    max_model_len: Annotated[int | None, typer.Option(min=1, help="Context window; default: the model's.")] = None,
    python: Annotated[
        str | None, typer.Option(envvar="BREAKEVEN_VLLM_PYTHON", help="Interpreter that has vLLM; default: this one.")
    ] = None,
) -> None:
    """Start vLLM with the flags that the gateway needs, and print the student's section for the config."""
    from models.student import run_student

    code = run_student(
        model,
        cpu=cpu,
        host=host,
        port=port,
        name=name,
        max_model_len=max_model_len,
        python=python,
        say=typer.echo,
    )
    raise typer.Exit(code)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 120)


def _load(path: Path, host: str | None = None, port: int | None = None, workers: int | None = None) -> Config:
    config = load_config(path)
    given = (("host", host), ("port", port), ("workers", workers))
    changes = {name: value for name, value in given if value is not None}
    if changes:
        config = config.model_copy(update={"server": config.server.model_copy(update=changes)})
    check_environment(config)
    return config


def main() -> None:
    """The entry point: our own errors are one line each and exit code 2."""
    try:
        app()
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(f"breakeven: {fault}", err=True)
        raise SystemExit(2) from None
    except (BreakevenError, ValueError) as error:
        typer.echo(f"breakeven: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
