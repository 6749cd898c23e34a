"""The commands on the road: `status`, `road` with `road audit`, `apply` and `rollback`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, working
from breakeven.gateway.config.load import load_config
from breakeven.gateway.config.schema import Config

if TYPE_CHECKING:
    from breakeven.gateway.runtime.road_change import Word

Workload = Annotated[str, typer.Option(help="The workload; see `breakeven road`.")]
Count = Annotated[int, typer.Option(min=1, max=1000, help="How many pairs to ask about.")]
Events = Annotated[int, typer.Option(min=0, max=1000, help="How many of the newest events to print.")]


def status(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Print in a few lines where each workload is, what the teacher was paid this month, and what was saved so far."""
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.reports.road import positions
    from breakeven.gateway.reports.status import overview
    from breakeven.gateway.runtime.road_change import operator_routes

    settings, now = load_config(config), time.time_ns() // 1000
    with working("reading the ledger"), read_ledger(settings) as ledger:
        found = overview(ledger, settings, now)
        places = positions(ledger, settings, now, operator=operator_routes(settings, ledger))
    if as_json:
        typer.echo(json.dumps(found.to_dict() | {"workloads": [one.to_dict() for one in places]}, indent=1))
        return
    for line in [*found.lines(), *(line for one in places for line in one.lines())]:
        typer.echo(line)


def road(
    context: typer.Context, config: ConfigPath = DEFAULT_CONFIG, events: Events = 20, as_json: AsJson = False
) -> None:
    """Print where each workload is: its stage, what was measured, what is proposed and what has happened."""
    if context.invoked_subcommand is not None:
        return
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.reports.road import event_line, positions
    from breakeven.gateway.runtime.road_change import operator_routes

    settings = load_config(config)
    with working("reading the ledger"), read_ledger(settings) as ledger:
        found = positions(ledger, settings, time.time_ns() // 1000, operator=operator_routes(settings, ledger))
        happened = ledger.road.events(limit=events)
    if as_json:
        said = {
            "workloads": [one.to_dict() for one in found],
            "events": [one._replace(undo=None)._asdict() for one in happened],
        }
        typer.echo(json.dumps(said, indent=1))
        return
    for one in found:
        for line in one.lines():
            typer.echo(line)
    for one_event in reversed(happened):
        typer.echo(event_line(one_event))


def apply(config: ConfigPath = DEFAULT_CONFIG, workload: Workload = DEFAULT_WORKLOAD) -> None:
    """Put the proposal of a workload in force: its router, threshold and escalation, on all gateways of the ledger."""
    typer.echo(_say(load_config(config), workload, "apply"))


def rollback(config: ConfigPath = DEFAULT_CONFIG, workload: Workload = DEFAULT_WORKLOAD) -> None:
    """Go back to what was in force before for a workload; without any, the teacher answers everything."""
    typer.echo(_say(load_config(config), workload, "rollback"))


def _say(config: Config, workload: str, word: Word) -> str:
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.runtime.road_change import ROUTED, operator_routes, say

    with read_ledger(config) as ledger:
        if operator_routes(config, ledger):
            raise ValueError(ROUTED)
        known = ledger.road.workloads() | set(ledger.road.states()) | config.workload_names | {DEFAULT_WORKLOAD}
        if workload not in known:
            raise ValueError(f"--workload: {workload!r} is none; there are {', '.join(sorted(known))}")
        state = say(ledger.road, workload, word, "command line")
    return f"{workload}: stage {state.stage}; {state.why}"


def audit(
    context: typer.Context,
    config: ConfigPath = DEFAULT_CONFIG,
    workload: Workload = DEFAULT_WORKLOAD,
    count: Count = 50,
) -> None:
    """Ask for a verdict on compared pairs of answers, whose order is random, and say how far to trust road.scorer."""
    from breakeven.gateway.cli import audit as session

    given = context.get_parameter_source("config")
    if context.parent is not None and (given is None or given.name != "COMMANDLINE"):
        config = context.parent.params["config"]  # `breakeven road --config … audit`
    session.judge_pairs(load_config(config), workload, count, by_lot=True)


def label(config: ConfigPath = DEFAULT_CONFIG, workload: Workload = DEFAULT_WORKLOAD, count: Count = 100) -> None:
    """Ask for a verdict on the compared pairs that tell most of the student's quality, and correct it by them."""
    from breakeven.gateway.cli import audit as session

    session.judge_pairs(load_config(config), workload, count, by_lot=False)
