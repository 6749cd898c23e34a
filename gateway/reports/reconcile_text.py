"""A reconciliation as JSON values, and as the tables and sentences printed in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from breakeven.gateway.accounting.money import dollars, exact
from breakeven.gateway.economics.periods import DAY
from breakeven.gateway.economics.totals import Sum
from breakeven.gateway.reports.bills.base import BillRow, total
from breakeven.gateway.reports.reconcile import Cause, Kind, Line, Reconciliation
from breakeven.gateway.reports.report import moment

_WHY = {
    Kind.ESTIMATED: "usage never reported, such as cut streams",
    Kind.BYPASS: "traffic that bypasses the gateway",
    Kind.TOKENS: "tokens counted otherwise for the same requests",
    Kind.PRICES: "another price or service tier than in the config",
    Kind.NOT_IN_BILL: "in the ledger, not on the bill",
    Kind.NOT_IN_LEDGER: "on the bill, not in the ledger",
    Kind.UNEXPLAINED: "unexplained: the bill has no tokens; add the export of usage",
    Kind.ROUNDING: "rounding",
}
_TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens")


def to_dict(found: Reconciliation) -> dict[str, Any]:
    """The reconciliation as JSON values: USD as exact decimal strings, days as dates; `until` is exclusive."""
    on_bill, ledger = found.on_bill, found.in_ledger
    whole = Line(found.since, found.model, ledger, on_bill, tuple(found.causes))
    return {
        "since": _date(found.since),
        "until": _date(found.until),
        "unnamed_rows": found.unnamed,
        "total": _line(whole),
        "days": [{"day": _date(line.day)} | _line(line) for line in found.lines],
        "not_served": [{"day": _date(row.day), "model": row.model} | _bill(row) for row in found.not_served],
    }


def lines(found: Reconciliation) -> Iterator[Table | str]:
    """The table of days, the sums of the causes, and the models of the bill that the gateway does not serve."""
    title = f"{found.model}, {_date(found.since)} to {_date(found.until - 1)}"
    table = Table(title=title, title_justify="left")
    table.add_column("day", no_wrap=True)
    for name in ("ledger", "estimated", "bill", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why")
    for line in found.lines:
        table.add_row(_date(line.day), *_money(line), "; ".join(map(_why, line.causes)))
    ledger, on_bill = found.in_ledger, found.on_bill
    table.add_section()
    table.add_row("total", *_money(Line(0, "", ledger, on_bill)), "")
    yield table
    if on_bill is None:
        yield f"The bill has no row of {found.model}; if it has another name there, give it with --model."
    elif on_bill.cost is None:
        yield "The bill has no cost: differences are in tokens only, and what they cost is at the ledger's prices."
    if found.unnamed:
        yield f"Some rows name no model and count as {found.model}; export cost by line item or model."
    if not found.causes:
        yield "Ledger and bill agree."
    for cause in found.causes:
        yield f"{dollars(cause.amount)}: {_WHY[cause.kind]}"
    models = sorted({row.model for row in found.not_served})
    for model in models:
        cost = total(*(row.cost for row in found.not_served if row.model == model))
        yield f"not served by this gateway: {model}" + ("" if cost is None else f", {dollars(cost)} on the bill")


def _why(cause: Cause) -> str:
    ratio = "" if cause.ratio is None else f", {cause.ratio:.3f} times the ledger's"
    return f"{dollars(cause.amount)} {_WHY[cause.kind]}{ratio}"


def _money(line: Line) -> tuple[str, str, str, str]:
    ledger, bill = line.ledger, line.bill
    return (
        "-" if ledger is None else dollars(ledger.cost),
        "-" if ledger is None or not ledger.usage_missing else dollars(ledger.cost_estimated),
        "-" if bill is None or bill.cost is None else dollars(bill.cost),
        "-" if line.difference is None else dollars(line.difference),
    )


def _line(line: Line) -> dict[str, Any]:
    return {
        "model": line.model,
        "ledger": None if line.ledger is None else _ledger(line.ledger),
        "bill": None if line.bill is None else _bill(line.bill),
        "difference_usd": None if line.difference is None else exact(line.difference),
        "causes": [{"kind": kind.value, "usd": exact(amount), "ratio": ratio} for kind, amount, ratio in line.causes],
    }


def _ledger(one: Sum) -> dict[str, Any]:
    return {
        "attempts": one.attempts,
        "input_tokens": one.input_tokens + one.cached_input_tokens + one.cache_write_tokens,
        "cached_input_tokens": one.cached_input_tokens,
        "output_tokens": one.output_tokens,
        "cost_usd": exact(one.cost),
        "usage_missing": one.usage_missing,
        "estimated_input_tokens": one.estimated_input_tokens,
        "estimated_output_tokens": one.estimated_output_tokens,
        "estimated_cost_usd": exact(one.cost_estimated),
    }


def _bill(row: BillRow) -> dict[str, Any]:
    return {
        "requests": row.requests,
        **{name: getattr(row, name) for name in _TOKENS},
        "cost_usd": None if row.cost is None else exact(row.cost),
    }


def _date(day: int) -> str:
    return moment(day * DAY)[:10]
