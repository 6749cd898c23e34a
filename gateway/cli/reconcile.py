"""The command `reconcile`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from breakeven.gateway.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, parse_moment, show, working
from breakeven.gateway.config.load import load_config
from breakeven.gateway.config.schema import Config
from breakeven.router.policy import Route


def reconcile(
    bill: Annotated[
        list[Path],
        typer.Argument(
            help="Exports of the same account, such as one of usage and one of cost: OpenAI, Anthropic, Azure, LiteLLM."
        ),
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    since: Annotated[str | None, typer.Option(help="First day, such as 2026-11-01; default: the bill's.")] = None,
    until: Annotated[str | None, typer.Option(help="Day after the last one; default: the bill's.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Another name that the bill has for the teacher's model; give it once for each."),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            help="Whose bill it is, where the teacher has several: a name of teacher.fallbacks, or teacher for the "
            "first; default: all of them together."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a provider's bill with the ledger by day and model, and say what the differences come from."""
    from breakeven.gateway.economics.periods import DAY
    from breakeven.gateway.ledger.opening import read_ledger
    from breakeven.gateway.reports import bills, reconcile_text
    from breakeven.gateway.reports.reconcile import reconcile as compare

    first, end = _day("--since", since), _day("--until", until)
    if first is not None and end is not None and first >= end:
        raise ValueError("--since must be before --until")
    if len({path.resolve() for path in bill}) != len(bill):
        raise ValueError("the same bill is given twice, and would count twice")
    rows = [row for path in bill for row in bills.read(path)]
    settings = load_config(config)
    name, served = ("", settings.teacher.model) if provider in (None, Route.TEACHER) else _provider(settings, provider)
    first = min(row.day for row in rows) if first is None else first
    end = max(row.day for row in rows) + 1 if end is None else end
    if first >= end:
        raise ValueError("the bill has no day in this period; see --since and --until")
    with working("reading the ledger"), read_ledger(settings) as ledger:
        by = ("day", "upstream") if provider is None else ("day", "upstream", "provider")
        sums = ledger.sums(by, first * DAY, end * DAY)
    # Comparisons are in it: the provider charges for it as well.
    wanted = (Route.TEACHER,) if provider is None else (Route.TEACHER, name)
    billed = [one for one in sums if one.group[1:] == wanted]
    found = compare(rows, billed, served, aliases=model or (), since=first, until=end)
    if as_json:
        typer.echo(json.dumps(reconcile_text.to_dict(found), indent=1))
    else:
        show(reconcile_text.lines(found))


def _provider(settings: Config, name: str | None) -> tuple[str, str]:
    """The name and the model of one of the teacher's fallbacks."""
    for one in settings.teacher.fallbacks:
        if one.name == name:
            return one.name, one.model
    known = ", ".join((Route.TEACHER, *(one.name for one in settings.teacher.fallbacks)))
    raise ValueError(f"--provider: {name} is no provider of the teacher; choose among {known}")


def _day(option: str, text: str | None) -> int | None:
    from breakeven.gateway.economics.periods import DAY

    moment = parse_moment(option, text)
    if moment is None:
        return None
    # A week ago means that day, whole.
    if moment % DAY and (text or "")[-1] not in "dw":
        raise ValueError(f"{option}: bills are by day in UTC; write a date such as 2026-11-01")
    return moment // DAY
