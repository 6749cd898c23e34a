"""The `breakeven` command; one thin function per verb."""

from __future__ import annotations

import os

import typer

from breakeven.gateway.cli import demo, money, router, serve, tune
from breakeven.gateway.errors import BreakevenError, ConfigError
from breakeven.models.cli import distill

app = typer.Typer(
    name="breakeven",
    help="A cost-and-quality routing gateway: a distilled student, its teacher, and the money that saves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command()(serve.serve)
app.command()(serve.check)
app.command()(router.route)
app.command()(router.train)
app.command()(router.evaluate)
app.command()(tune.tune)
app.command()(money.report)
app.command()(money.plan)
app.command()(money.invest)
app.command()(money.purge)


def _with_ledger(context: typer.Context) -> None:
    """Make a student from a teacher's answers."""
    context.obj = money.enter_investment


app.add_typer(distill.app, name="distill", callback=_with_ledger)
app.command()(demo.demo)
app.command()(serve.student)


def main() -> None:
    """The entry point: our own errors are one line each and exit code 2."""
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
