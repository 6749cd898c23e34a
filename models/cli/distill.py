"""The commands of `breakeven distill`, each a thin function over the package of its name.

These modules do not know the ledger. The caller that mounts `app` may set the context's `obj` to a LedgerAccess.
"""

from __future__ import annotations

import typer

from breakeven.models.cli.evaluate import evaluate
from breakeven.models.cli.generate import generate
from breakeven.models.cli.harvest import harvest
from breakeven.models.cli.plan import plan
from breakeven.models.cli.train import train

app = typer.Typer(
    name="distill", help="Distill a student model: generate, harvest, train, evaluate, plan.", no_args_is_help=True
)
for command in (train, generate, harvest, evaluate, plan):
    app.command()(command)
