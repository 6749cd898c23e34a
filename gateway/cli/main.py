"""The `breakeven` command; one thin function for each subcommand."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable
from typing import Annotated

import typer

from breakeven.gateway.cli import (
    candidate,
    demo,
    kept,
    money,
    pairs,
    plan,
    reconcile,
    road,
    router,
    serve,
    starting,
    tune,
)
from breakeven.gateway.errors import BreakevenError, ConfigError
from breakeven.models.cli import distill
from breakeven.models.cli.ledger import LedgerAccess

app = typer.Typer(
    name="breakeven",
    help="A cost-and-quality routing gateway between a distilled student model and its teacher, with cost accounting.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"breakeven {importlib.metadata.version('breakeven')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options that come before the subcommand."""


def _command(function: Callable[..., None], *examples: str) -> None:
    """A subcommand, whose help ends with these lines to type."""
    app.command(epilog="\n\n".join(("Examples:", *examples)))(function)


_command(starting.init, "breakeven init", "breakeven init --teacher-url https://api.example.com/v1 --out gateway.yaml")
app.add_typer(starting.keys)
_command(serve.serve, "breakeven serve", "breakeven serve --config gateway.yaml --port 9000 --workers 2")
_command(serve.check, "breakeven check", "breakeven check --live")
_command(road.status, "breakeven status")
_command(road.apply, "breakeven apply", "breakeven apply --workload support")
_command(road.rollback, "breakeven rollback")
_command(road.label, "breakeven label")
_command(router.route, 'breakeven route "Where is my order?"')
_command(
    router.train, "breakeven train outcomes.jsonl --out my-router", "breakeven train --from-ledger --out my-router"
)
_command(router.evaluate, "breakeven evaluate held-out.jsonl --artifact my-router")
_command(
    tune.tune,
    "breakeven tune held-out.jsonl --artifact my-router --quality 0.98",
    "breakeven tune --teacher-share 0.2 --apply",
)
_command(money.report, "breakeven report --since 7d", "breakeven report --by day,workload --csv")
_command(reconcile.reconcile, "breakeven reconcile bill.csv")
_command(
    plan.plan, "breakeven plan --from-ledger", "breakeven plan --input-tokens 100M --input-usd 15 --teacher-share 0.2"
)
_command(money.invest, "breakeven invest training 2500")
_command(pairs.pairs, "breakeven pairs outcomes.jsonl")
_command(money.purge, "breakeven purge --before 30d")


def _with_ledger(context: typer.Context) -> None:
    """Distill a student model from a teacher's answers."""
    # `models` must not import the ledger, so the functions that use it are passed in.
    context.obj = LedgerAccess(invest=money.enter_investment, kept=kept.kept_conversations)


app.add_typer(distill.app, name="distill", callback=_with_ledger)
_road = typer.Typer(invoke_without_command=True)
_road.callback()(road.road)
_road.command()(road.audit)
app.add_typer(_road, name="road")
app.add_typer(candidate.app, name="candidate")
_command(demo.demo, "breakeven demo", "breakeven demo --once --floor 0.98")
_command(
    serve.student,
    "breakeven student --model ./my-student",
    "breakeven student --model Qwen/Qwen3-0.6B -- --max-num-seqs 64",
)


# What `breakeven train` needs beyond serving.
_FOR_TRAINING = ("sklearn", "scipy", "joblib")


def main() -> None:
    """Entry point of the command: prints each BreakevenError and ValueError as one line, with exit code 2."""
    # Child processes, and theirs, import nothing from the working directory.
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        app()
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(f"breakeven: {fault}", err=True)
        raise SystemExit(2) from None
    except (BreakevenError, ValueError) as error:
        typer.echo(f"breakeven: {error}", err=True)
        raise SystemExit(2) from None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _FOR_TRAINING:
            raise
        typer.echo(
            "breakeven: training needs scikit-learn, which the serving image leaves out: pip install breakeven",
            err=True,
        )
        raise SystemExit(2) from None
