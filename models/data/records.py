"""Reading the rows of a data file: JSON lines, JSON arrays, CSV, parquet and Arrow; gzip and byte-order marks too."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import importlib.util
import io
import json
import lzma
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from breakeven.models.errors import DistillError

_COMPRESSED: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ\x00": lzma.decompress,
}
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Where a data set's rows are inside a single JSON object.
_LISTS = ("data", "rows", "train", "examples", "instances")
_ROW = {"messages", "conversations", "conversation", "prompt", "instruction"}
# Columns of a CSV file whose cells hold JSON.
_JSON_CELLS = ("messages", "conversations", "conversation", "tools", "history", "response_format")
_TABLES = (".csv", ".tsv")
COLUMNAR = (".parquet", ".arrow", ".feather")
_PACKED = (".gz", ".bz2", ".xz")


class Record(NamedTuple):
    """A row as it is in a file: `number` counts lines or rows (`unit`) from 1; `fault` says why it has no `value`."""

    number: int
    unit: str
    value: Any
    fault: str | None = None


def records(path: Path) -> Iterator[Record]:
    """The rows of one file, whose format its name and its first bytes tell; blank lines are left out.

    Raises DistillError where the file cannot be read at all, or breaks off.
    """
    kind = suffix(path)
    if kind in COLUMNAR:
        yield from _columnar(path, kind)
        return
    data = _decompressed(path)
    if data[:4] == b"PAR1":
        yield from _columnar(path, ".parquet")
        return
    data = _utf8(path, data)
    if kind in _TABLES:
        yield from _table(path, data, "\t" if kind == ".tsv" else None)
    else:
        yield from _json(path, data)


def suffix(path: Path) -> str:
    """The ending of a file's name in lower case, without that of a compression: `.jsonl` for `a.jsonl.gz`."""
    names = [one.lower() for one in path.suffixes]
    while names and names[-1] in _PACKED:
        names.pop()
    return names[-1] if names else ""


def stem(path: Path) -> str:
    """The name of a file without its endings of format and compression."""
    bare = path
    while bare.suffix.lower() in _PACKED:
        bare = bare.with_suffix("")
    return bare.stem


def needs_datasets(what: str, package: str = "datasets") -> None:
    """Raise DistillError where the package that reads `what` is not installed."""
    if importlib.util.find_spec(package) is None:
        raise DistillError(f"{what} needs the package {package}: pip install 'breakeven[datasets]'")


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises DistillError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DistillError(f"{path}: cannot be read: {error.strerror}") from None


def _decompressed(path: Path) -> bytes:
    data = read_bytes(path)
    for magic, unpack in _COMPRESSED.items():
        if data.startswith(magic):
            try:
                return unpack(data)
            except (OSError, EOFError, ValueError, lzma.LZMAError):
                raise DistillError(f"{path}: the compressed file is damaged or cut off; copy it again") from None
    return data


def _utf8(path: Path, data: bytes) -> bytes:
    """The data without a byte-order mark, and in UTF-8 where the mark says that it is UTF-16."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            rest = data[len(mark) :]
            if name == "utf-8":  # Which rows are not UTF-8 is said row by row.
                return rest
            try:
                return rest.decode(name).encode("utf-8")
            except UnicodeError:
                raise DistillError(f"{path}: not {name.upper()}, as its mark says; save it as UTF-8") from None
    return data


def _json(path: Path, data: bytes) -> Iterator[Record]:
    """JSON lines, or a single JSON value: an array of rows, an object with such an array, or one row."""
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    first = _decoded(lines[0][1]) if lines else None
    whole = first
    if lines and (first is None or len(lines) == 1):
        whole = _decoded(data)
        if whole is None and data.lstrip()[:1] == b"[" and (first is None or len(lines) == 1):
            raise DistillError(f"{path}: {_why(data)}; mend the array, or write one JSON object a line")
    elif len(lines) > 1:
        whole = None
    rows = _listed(whole)
    if rows is not None:
        yield from (Record(number, "row", row) for number, row in enumerate(rows, 1))
        return
    for number, line in lines:
        value = _decoded(line)
        yield Record(number, "line", value, None if value is not None else "not JSON in UTF-8")


def _listed(value: Any) -> list[Any] | None:
    """The rows in a decoded JSON file, or None where it is not a single value that holds rows."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return None
    for name in () if _ROW & value.keys() else _LISTS:
        inner = value.get(name)
        if isinstance(inner, list) and all(isinstance(row, dict) for row in inner):
            return inner
    return [value]


def _decoded(data: bytes) -> Any:
    """The JSON value in UTF-8 text, or None. NaN, which pandas writes for a missing value, is null."""
    try:
        return json.loads(data.decode("utf-8"), parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        return None


def _why(data: bytes) -> str:
    try:
        json.loads(data.decode("utf-8"))
    except json.JSONDecodeError as error:
        return f"not JSON at line {error.lineno} column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        return f"not UTF-8 at line {data.count(10, 0, error.start) + 1}"
    except RecursionError:
        return "nested too deep"
    return "not JSON"


def _table(path: Path, data: bytes, delimiter: str | None) -> Iterator[Record]:
    """The rows of a CSV file with a header; an empty cell is an absent field."""
    # Bytes that are not UTF-8 become surrogates, so that only their rows are refused.
    text = data.decode("utf-8", "surrogateescape")
    head = text.split("\n", 1)[0]
    chosen = delimiter or max(",;\t|", key=head.count)
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=chosen, strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        if any("\udc80" <= letter <= "\udcff" for letter in head):
            raise DistillError(f"{path}: the header is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)")
        begin = reader.line_num + 1
        for cells in reader:
            number, begin = begin, reader.line_num + 1
            if any(cell.strip() for cell in cells):
                yield _cells(number, columns, cells)
    except csv.Error as error:
        raise DistillError(f"{path}: not CSV at line {reader.line_num}: {error}; put quotes right or doubled") from None


def _cells(number: int, columns: list[str], cells: list[str]) -> Record:
    if len(cells) != len(columns):
        why = f"has {len(cells)} cells, and the header {len(columns)}: put texts that hold the separator in quotes"
        return Record(number, "line", None, why)
    row: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=True):
        if any("\udc80" <= letter <= "\udcff" for letter in cell):
            return Record(number, "line", None, "not UTF-8: save the file as UTF-8 (in Excel: CSV UTF-8)")
        if not cell.strip():
            continue
        if name in _JSON_CELLS:
            value = _decoded(cell.encode("utf-8", "surrogatepass"))
            if value is None:
                return Record(number, "line", None, f"{name}: the cell must hold JSON, with doubled quotes inside")
            row[name] = value
        else:
            row[name] = cell
    return Record(number, "line", row)


def _columnar(path: Path, kind: str) -> Iterator[Record]:
    """The rows of a parquet or an Arrow file, whose columns are the same for all: an absent field is null."""
    needs_datasets(f"{path}: reading {kind[1:]}", "pyarrow")
    import pyarrow

    number = 0
    try:
        with path.open("rb") as file:
            for batch in _batches(file, kind):
                for row in batch.to_pylist():
                    number += 1
                    # Dates and bytes have no place in JSON.
                    yield Record(number, "row", json.loads(json.dumps(row, default=str)))
    except OSError as error:
        why = error.strerror or f"not {kind[1:]}, or cut off; copy it again"
        raise DistillError(f"{path}: cannot be read: {why}") from None
    except pyarrow.ArrowException:
        raise DistillError(f"{path}: not {kind[1:]}, or cut off; copy it again") from None


def _batches(file: Any, kind: str) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    if kind == ".parquet":
        yield from pyarrow.parquet.ParquetFile(file).iter_batches()
        return
    magic = file.read(6)
    file.seek(0)
    if magic == b"ARROW1":
        found = pyarrow.ipc.open_file(file)
        yield from (found.get_batch(i) for i in range(found.num_record_batches))
    else:
        yield from pyarrow.ipc.open_stream(file)
