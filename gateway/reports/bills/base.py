"""What every export of usage or cost is read into, and the reading of its fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

import msgspec

DAY_SECONDS = 86_400
_MOST_DIGITS = 18  # of an amount or count, before the point


class BillRow(msgspec.Struct, frozen=True):
    """What a provider says of one model on one day, or of a part of that.

    `day` counts days since the Unix epoch in UTC. `model` is "" where the export names none. `input_tokens` are all
    prompt tokens, of which `cached_input_tokens` were read from a cache. `cost` is in picodollars. None: not in the
    export.
    """

    day: int
    model: str
    requests: int | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    cost: int | None = None


class Fields:
    """The fields of one record of an export; `where` names the record in error messages, such as `row 3`."""

    def __init__(self, where: str, values: Mapping[str, object]) -> None:
        self.where = where
        self._values = values

    def text(self, name: str) -> str:
        """The field as text without spaces around it, "" where it is missing or null."""
        value = self._values.get(name)
        return "" if value is None else str(value).strip()

    def number(self, name: str) -> Decimal | None:
        """The field as a finite number, None where it is missing or empty. Raises ValueError."""
        text = self.text(name)
        if not text:
            return None
        try:
            value = Decimal(text.replace(",", "").removeprefix("$"))
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or value.adjusted() >= _MOST_DIGITS or isinstance(self._values[name], bool):
            raise self.error(name, f"{text!r} is not a number")
        return value

    def count(self, name: str) -> int | None:
        """The field as a whole number of 0 or more, None where it is missing or empty. Raises ValueError."""
        value = self.number(name)
        if value is None:
            return None
        if value < 0 or value != int(value):
            raise self.error(name, f"{self.text(name)!r} is not a whole number of 0 or more")
        return int(value)

    def cost(self, name: str, unit: Decimal = Decimal(1)) -> int | None:
        """The field, in `unit` USD, as picodollars; what is below a picodollar is rounded, half to even."""
        value = self.number(name)
        if value is None:
            return None
        return int((value * unit).scaleb(12).to_integral_value(ROUND_HALF_EVEN))

    def day(self, name: str) -> int:
        """A date, a time or seconds since the epoch as the number of days since the epoch in UTC. Raises ValueError."""
        text = self.text(name)
        try:
            return _day(text)
        except (ValueError, OverflowError):
            raise self.error(name, f"{text!r} is not a date; write it as 2026-11-01") from None

    def require_usd(self, name: str) -> None:
        """Raise ValueError where the field names another currency than US dollars."""
        currency = self.text(name)
        if currency and currency.upper() != "USD":
            raise self.error(name, f"{currency!r} is not USD; export the bill in US dollars")

    def part(self, name: str) -> Fields | None:
        """The object in the field; None where it is missing or null. Raises ValueError for anything else."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.error(name, "is not an object")
        return Fields(f"{self.where}, {name}", value)

    def parts(self, name: str) -> list[Fields]:
        """The objects in the list in the field. Raises ValueError where it is no list of objects."""
        value = self._values.get(name)
        if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
            raise self.error(name, "is not a list of objects; export the bill again, unchanged")
        return [Fields(f"{self.where}, {name}[{index}]", one) for index, one in enumerate(value)]

    def error(self, name: str, what: str) -> ValueError:
        """The error to raise for the field `name`."""
        return ValueError(f"{self.where}: {name}: {what}")


def total(*counts: int | None) -> int | None:
    """The sum of the counts that are known; None where none is."""
    known = [one for one in counts if one is not None]
    return sum(known) if known else None


def _day(text: str) -> int:
    if re.fullmatch(r"\d{8}", text):
        value = datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)
    elif re.fullmatch(r"\d{9,10}(\.\d+)?", text):
        return int(Decimal(text)) // DAY_SECONDS
    elif re.match(r"\d{1,2}/\d{1,2}/\d{4}", text):
        value = datetime.strptime(text.split()[0], "%m/%d/%Y").replace(tzinfo=UTC)
    else:
        value = datetime.fromisoformat(text)
    return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()) // DAY_SECONDS
