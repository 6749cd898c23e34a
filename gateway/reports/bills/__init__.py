"""Bills of providers: exports of usage and cost, whose format is found by its shape. A module for each provider."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from breakeven.gateway.reports.bills import anthropic, azure, litellm, openai
from breakeven.gateway.reports.bills.base import BillRow, Fields

__all__ = ["BillRow", "read"]

_Reader = Callable[[list[Fields]], Iterable[BillRow]]
_CSV: tuple[tuple[Callable[[frozenset[str]], bool], _Reader], ...] = (
    (openai.is_csv, openai.csv_rows),
    (anthropic.is_csv, anthropic.csv_rows),
    (azure.is_csv, azure.csv_rows),
)
# By a field of the first record.
_JSON: dict[str, _Reader] = {"start_time": openai.pages, "starting_at": anthropic.pages, "startTime": litellm.logs}
_KNOWN = "known are exports of OpenAI, Anthropic and Azure, and spend logs of LiteLLM"


def read(path: Path) -> list[BillRow]:
    """The rows of an export, unsorted and not summed.

    Raises ValueError, which names the file, what is wrong in it and where, and how to mend it.
    """
    try:
        # Excel and Azure put a byte order mark in front.
        text = path.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not UTF-8 text; export the bill as JSON or CSV") from None
    try:
        rows = list(_from_json(text) if text[:1] in ("{", "[") else _from_csv(text))
        if not rows:
            raise ValueError("holds no usage; export a period with usage")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return rows


def _from_csv(text: str) -> Iterable[BillRow]:
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        columns = [name.strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = [Fields(f"row {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"row {reader.line_num}: not CSV: {error}") from None
    for known, rows_of in _CSV:
        if known(frozenset(columns)):
            return rows_of(rows)
    raise ValueError(f"columns of no known export: {', '.join(columns[:8]) or 'none'}; {_KNOWN}")


def _from_json(text: str) -> Iterable[BillRow]:
    documents = _documents(text)
    if any("data" in one for one in documents):
        # The answers of a service, one for each page.
        if documents[-1].get("has_more"):
            raise ValueError("has_more: the last page is missing; put all pages into the file, one after the other")
        pages = [Fields(f"page {index}", one) for index, one in enumerate(documents, 1)]
        records = [part for page in pages for part in page.parts("data")]
    else:
        records = [Fields(f"record {index}", one) for index, one in enumerate(documents, 1)]
    if not records:
        return ()
    for name, reader in _JSON.items():
        if records[0].text(name):
            return reader(records)
    raise ValueError(f"{records[0].where}: fields of no known export; {_KNOWN}")


def _documents(text: str) -> Sequence[dict[str, object]]:
    """The JSON objects in the text: a list of them, or any number one after the other."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    found: list[object] = []
    at = 0
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {error.lineno}: not JSON: {error.msg}; export the bill again, unchanged") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None
        found += value if isinstance(value, list) else [value]
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
    if not all(isinstance(one, dict) for one in found):
        raise ValueError("holds something else than JSON objects; export the bill again, unchanged")
    return found  # type: ignore[return-value]
