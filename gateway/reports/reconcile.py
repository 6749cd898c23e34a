"""Comparing a provider's bill with the ledger, by day and model, and naming what the differences come from.

Pure functions: the sums of the ledger and the rows of the bill are passed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from breakeven.gateway.accounting.money import PICODOLLARS
from breakeven.gateway.economics.totals import Sum, add
from breakeven.gateway.reports.bills.base import BillRow, total

_HALF_CENT = PICODOLLARS // 200


class Kind(StrEnum):
    """What a difference comes from."""

    ESTIMATED = "estimated"  # answers whose usage no upstream reported, such as cut streams
    BYPASS = "bypass"  # traffic that did not go through the gateways of this ledger
    TOKENS = "tokens"  # the same requests, counted otherwise
    PRICES = "prices"  # the same tokens at another price
    NOT_IN_BILL = "not_in_bill"
    NOT_IN_LEDGER = "not_in_ledger"
    UNEXPLAINED = "unexplained"  # the bill has no tokens to tell traffic from prices
    ROUNDING = "rounding"


class Cause(NamedTuple):
    """A part of a difference. `amount` is in picodollars, the bill's less the ledger's; the amounts of a line add up
    to its difference. `ratio`: cost on the bill per cost at the ledger's prices, for the same traffic.
    """

    kind: Kind
    amount: int
    ratio: float | None = None


class Line(NamedTuple):
    """One day (counted from the Unix epoch, UTC) of one model: the ledger's sums, the bill's row, and the causes."""

    day: int
    model: str
    ledger: Sum | None
    bill: BillRow | None
    causes: tuple[Cause, ...] = ()

    @property
    def difference(self) -> int | None:
        """Cost on the bill less measured cost in the ledger, picodollars; None where the bill has no cost."""
        if self.bill is not None and self.bill.cost is None:
            return None
        return (0 if self.bill is None else self.bill.cost or 0) - (0 if self.ledger is None else self.ledger.cost)


class Reconciliation(NamedTuple):
    """The days [since, until) of the served model `model`, and the bill's rows of models that are not served here.

    `unnamed`: some rows of the bill name no model, and count as the served one's.
    """

    since: int
    until: int
    model: str
    lines: list[Line]
    not_served: list[BillRow]
    unnamed: bool = False

    @property
    def causes(self) -> list[Cause]:
        """The sum of each kind of cause over all days, in order of kind; without ratios."""
        found: dict[Kind, int] = {}
        for line in self.lines:
            for one in line.causes:
                found[one.kind] = found.get(one.kind, 0) + one.amount
        return [Cause(kind, found[kind]) for kind in Kind if kind in found]

    @property
    def in_ledger(self) -> Sum:
        """The ledger's sums over all days."""
        return add(line.ledger for line in self.lines if line.ledger is not None)

    @property
    def on_bill(self) -> BillRow | None:
        """The bill's rows of the served model, added up; None without any."""
        rows = [line.bill for line in self.lines if line.bill is not None]
        return _merge(rows, self.since, self.model) if rows else None


def reconcile(
    rows: Sequence[BillRow],
    sums: Iterable[Sum],
    model: str,
    *,
    aliases: Sequence[str] = (),
    since: int | None = None,
    until: int | None = None,
) -> Reconciliation:
    """Compare the bill's `rows` with `sums` of the teacher, grouped by day.

    `model` is the teacher's name in the config, `aliases` are other names that the bill has for it. Rows that name no
    model count as its. `since` and `until` are days; by default the bill's first and the day after its last.
    """
    days = [row.day for row in rows]
    since = min(days, default=0) if since is None else since
    until = max(days, default=-1) + 1 if until is None else until
    known = {int(str(one.group[0])): one for one in sums}
    known = {day: one for day, one in known.items() if since <= day < until and (one.tokens or _at_stake(one))}
    served: dict[int, list[BillRow]] = {}
    others: dict[tuple[int, str], list[BillRow]] = {}
    for row in rows:
        if not since <= row.day < until:
            continue
        if not row.model or any(same_model(row.model, name) for name in (model, *aliases)):
            served.setdefault(row.day, []).append(row)
        else:
            others.setdefault((row.day, row.model), []).append(row)
    unnamed = any(not row.model for parts in served.values() for row in parts)
    usual = add(known.values())
    lines = []
    for day in sorted(known.keys() | served.keys()):
        line = Line(day, model, known.get(day), _merge(served[day], day, model) if day in served else None)
        lines.append(line._replace(causes=tuple(_causes(line, usual))))
    not_served = [_merge(parts, *group) for group, parts in sorted(others.items())]
    return Reconciliation(since, until, model, lines, not_served, unnamed)


def same_model(billed: str, name: str) -> bool:
    """Whether a bill means the model `name`: the same but for a provider's prefix, punctuation, or a version's date."""
    one, other = (re.sub(r"[^a-z0-9]+", "-", text.lower().rpartition("/")[2]) for text in (billed, name))
    return one == other or _undated(one) == other or _undated(other) == one


def _undated(name: str) -> str:
    return re.sub(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$", "", name)


def _at_stake(one: Sum) -> bool:
    return bool(one.cost or one.cost_estimated or one.usage_missing)


def _merge(rows: Sequence[BillRow], day: int, model: str) -> BillRow:
    names = ("requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost")
    return BillRow(day, model, *(total(*(getattr(row, name) for row in rows)) for name in names))


def _causes(line: Line, usual: Sum) -> Iterator[Cause]:
    ledger, bill, left = line.ledger, line.bill, line.difference
    if bill is None:
        # Without measured usage there is nothing that the provider is known to have charged for.
        if left:
            yield Cause(Kind.NOT_IN_BILL, left)
        return
    if ledger is None:
        yield Cause(Kind.NOT_IN_LEDGER, _value(bill, Sum(), usual) if left is None else left)
        return
    found = list(_traffic(bill, ledger, usual, left))
    yield from found
    if left is None:
        return
    left -= sum(one.amount for one in found)
    if left:
        due = (bill.cost or 0) - left
        ratio = (bill.cost or 0) / due if due > 0 else None
        kind = Kind.UNEXPLAINED if bill.input_tokens is None and bill.output_tokens is None else Kind.PRICES
        yield Cause(kind, left, ratio) if abs(left) >= _HALF_CENT else Cause(Kind.ROUNDING, left)


def _traffic(bill: BillRow, ledger: Sum, usual: Sum, difference: int | None) -> Iterator[Cause]:
    """The causes that are tokens which the bill has and the ledger did not measure, at the ledger's prices."""
    if bill.input_tokens is None and bill.output_tokens is None:
        if ledger.usage_missing and ledger.cost_estimated and difference is not None and difference > 0:
            yield Cause(Kind.ESTIMATED, min(ledger.cost_estimated, difference))
        return
    excess = _value(bill, ledger, usual)
    if not excess:
        return
    if excess < 0:
        yield Cause(Kind.NOT_IN_BILL, excess)
        return
    # Where the bill has no more requests than the ledger, what is too much belongs to those of unknown usage. Without
    # request counts an estimate may be short by half before other traffic is suspected.
    within = 2 * excess <= 3 * ledger.cost_estimated
    alone = within if bill.requests is None else bill.requests <= ledger.attempts
    estimated = (excess if alone else min(excess, ledger.cost_estimated)) if ledger.usage_missing else 0
    if estimated:
        yield Cause(Kind.ESTIMATED, estimated)
    if excess > estimated:
        yield Cause(Kind.TOKENS if alone else Kind.BYPASS, excess - estimated)


def _value(bill: BillRow, ledger: Sum, usual: Sum) -> int:
    """What the bill's tokens beyond those of the ledger would cost at the ledger's prices, picodollars."""
    value = Fraction(0)
    prices = [_price(name, ledger, usual) for name in ("input", "cached_input", "output")]
    if bill.input_tokens is not None:
        more = bill.input_tokens - ledger.input_tokens - ledger.cached_input_tokens - ledger.cache_write_tokens
        cached = 0
        if bill.cached_input_tokens is not None:
            cached = bill.cached_input_tokens - ledger.cached_input_tokens
        value += (more - cached) * prices[0] + cached * prices[1]
    if bill.output_tokens is not None:
        value += (bill.output_tokens - ledger.output_tokens) * prices[2]
    return round(value)


def _price(kind: str, ledger: Sum, usual: Sum) -> Fraction:
    """The mean price of a kind of token in the ledger: that of the day, else of the period, else of plain input."""
    for one in (ledger, usual):
        tokens = getattr(one, f"{kind}_tokens")
        if tokens:
            return Fraction(getattr(one, f"cost_{kind}"), tokens)
    return _price("input", ledger, usual) if kind == "cached_input" else Fraction(0)
