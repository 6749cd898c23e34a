"""The `breakeven` command; one thin function for each subcommand."""

from __future__ import annotations

import importlib.metadata
import os
from typing import Annotated

import typer

from breakeven.gateway.cli import candidate, demo, kept, money, pairs, plan, reconcile, road, router, serve, tune
from breakeven.gateway.errors import BreakevenError, ConfigError
from breakeven.models.cli import distill
from breakeven.models.cli.ledger import LedgerAccess
from breakeven.router.masking import masked

app = typer.Typer(
    name="breakeven",
    help="A cost-and-quality routing gateway between a distilled student model and its teacher, with cost accounting.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
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


app.command()(serve.serve)
app.command()(serve.check)
app.command()(road.status)
app.command()(road.apply)
app.command()(road.rollback)
app.command()(road.label)
app.command()(router.route)
app.command()(router.train)
app.command()(router.evaluate)
app.command()(tune.tune)
app.command()(money.report)
app.command()(reconcile.reconcile)
app.command()(plan.plan)
app.command()(money.invest)
app.command()(pairs.pairs)
app.command()(money.purge)


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
app.command()(demo.demo)
app.command()(serve.student)


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
        typer.echo(f"breakeven: {masked(str(error))}", err=True)
        raise SystemExit(2) from None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _FOR_TRAINING:
            raise
        typer.echo(
            "breakeven: training needs scikit-learn, which the serving image leaves out: pip install breakeven",
            err=True,
        )
        raise SystemExit(2) from None
