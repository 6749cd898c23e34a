"""Exports of Azure's cost management as CSV, of all its versions: the columns' names differ in case and spelling.

A meter is one kind of token of one model in one kind of deployment, such as `gpt 4o 0806 Inp glbl Tokens`; its
quantity is in units such as `1K`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from breakeven.gateway.reports.bills.base import BillRow, Fields

_DATES = ("date", "usagedate", "usagedatetime")
_COSTS = ("costinusd", "costusd", "costinbillingcurrency", "pretaxcost", "cost")
_CURRENCIES = ("billingcurrency", "billingcurrencycode", "currency")
_SERVICES = ("metercategory", "consumedservice", "servicename")
_INPUT = {"inp", "inpt", "input", "in", "prompt"}
_OUTPUT = {"outp", "outpt", "output", "out", "opt", "completion"}
_CACHED = {"cached", "cchd", "cache", "cd"}
# Words of a meter's name that say the kind of deployment, not the model.
_OTHER = {"glbl", "global", "gl", "regnl", "regional", "rgnl", "dz", "dzone", "data", "zone", "datazone", "batch"}
_OTHER |= {"tokens", "token", "std", "standard", "pp", "priority", "1k", "1m", "azure", "openai", "service"}
_UNIT = re.compile(r"([\d.,]+)\s*([KM]?)\b", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1_000, "M": 1_000_000}


def is_csv(columns: frozenset[str]) -> bool:
    """Whether a CSV file with these columns, in lower case, is an export of Azure's cost management."""
    return all(columns & set(names) for names in (_DATES, _COSTS, ("metername", "resourceid", "meter")))


def csv_rows(rows: list[Fields]) -> Iterator[BillRow]:
    """Rows of the meters of language models; those of other Azure services are left out. Raises ValueError."""
    for row in rows:
        service = _first(row, _SERVICES)
        if service and not re.search("cognitive|openai|foundry|ai services", row.text(service), re.IGNORECASE):
            continue
        date, cost = _first(row, _DATES), _first(row, _COSTS)
        if cost and cost not in _COSTS[:2]:
            for name in _CURRENCIES:
                row.require_usd(name)
        words = _words(row.text("metername") or row.text("meter"))
        prompt, answer, cached = (not kind.isdisjoint(words) for kind in (_INPUT, _OUTPUT, _CACHED))
        tokens = _tokens(row)
        yield BillRow(
            row.day(date or _DATES[0]),
            _model(words),
            None,
            tokens if prompt else None,
            tokens if prompt and cached else None,
            tokens if answer and not prompt else None,
            row.cost(cost) if cost else None,
        )


def _first(row: Fields, names: tuple[str, ...]) -> str:
    return next((name for name in names if row.text(name)), "")


def _words(meter: str) -> list[str]:
    return meter.lower().replace("-", " ").split()


def _model(words: list[str]) -> str:
    # A number of four digits is the date of a version, such as 0806.
    kinds = _INPUT | _OUTPUT | _CACHED | _OTHER
    return "-".join(word for word in words if word not in kinds and not re.fullmatch(r"\d{4}", word))


def _tokens(row: Fields) -> int | None:
    quantity = next(filter(None, (row.number(name) for name in ("quantity", "usagequantity"))), None)
    unit = _UNIT.match(row.text("unitofmeasure"))
    if quantity is None or unit is None or not re.fullmatch(r"\d+(\.\d+)?", unit[1].replace(",", "")):
        return None
    return round(quantity * Decimal(unit[1].replace(",", "")) * _FACTORS[unit[2].upper()])
