"""Files as people have them: JSON lines, arrays, CSV, compressed, with marks; and their faults."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from breakeven.models.data import prompts, rows
from breakeven.models.errors import BadRows, DistillError

ROWS = [{"id": f"r{i}", "prompt": f"Frage {i}: wo ist es, „bitte“?", "answer": f"da\n{i}"} for i in range(3)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
ARRAY = json.dumps(ROWS, indent=2, ensure_ascii=False)


def table(separator: str = ",") -> str:
    made = io.StringIO()
    writer = csv.DictWriter(made, ["id", "prompt", "answer", "category"], delimiter=separator, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(ROWS)
    return made.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "a.jsonl": LINES.encode,
    "marked.jsonl": lambda: LINES.encode("utf-8-sig"),
    "utf16.jsonl": lambda: LINES.encode("utf-16"),
    "windows.jsonl": lambda: LINES.replace("\n", "\r\n").encode(),
    "a.json": ARRAY.encode,
    "short.json": lambda: json.dumps(ROWS).encode(),
    "object.json": lambda: json.dumps({"version": 1, "data": ROWS}, indent=1).encode(),
    "marked.json": lambda: ARRAY.encode("utf-8-sig"),
    "a.jsonl.gz": lambda: gzip.compress(LINES.encode()),
    "unnamed": lambda: gzip.compress(ARRAY.encode("utf-8-sig")),
    "a.json.bz2": lambda: bz2.compress(ARRAY.encode()),
    "a.jsonl.xz": lambda: lzma.compress(LINES.encode()),
    "a.csv": lambda: table().encode(),
    "excel.csv": lambda: table(";").encode("utf-8-sig"),
    "excel16.csv": lambda: table("\t").encode("utf-16"),
    "a.tsv": lambda: table("\t").encode(),
    "a.csv.gz": lambda: gzip.compress(table().encode()),
}


@pytest.mark.parametrize("name", FILES)
def test_each_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name]())
    found = rows.read([path])
    expected = [(row["id"], row["prompt"], row["answer"]) for row in ROWS]
    assert [(one.id, one.text(), one.answer.replace("\r\n", "\n")) for one in found] == expected
    assert [one.category for one in found] == [None] * 3


def test_rows_without_an_id_are_named_by_file_and_number(tmp_path: Path) -> None:
    path = tmp_path / "data.v2.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"prompt": "a"}\n\n{"prompt": "b", "score": NaN}\n'))
    assert [one.id for one in prompts.read([path]).prompts] == ["data.v2-1", "data.v2-3"]


def test_a_cell_of_a_table_holds_a_conversation(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('messages\n"[{""role"": ""user"", ""content"": ""Hi""}]"\n"[{role: user}]"\n')
    with pytest.raises(BadRows, match=r"data\.csv: line 3: messages: the cell must hold JSON"):
        prompts.read([path])
    assert [one.text() for one in prompts.read([path], skip_bad=True).prompts] == ["Hi"]


def test_each_bad_row_of_a_table_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(
        b'prompt,answer\n"two\nlines",yes\none,two,three\n"caf\xe9",yes\n\n,answer without a question\nlast,yes\n'
    )
    with pytest.raises(BadRows) as said:
        rows.read([path])
    text = str(said.value)
    assert "data.csv: line 4: has 3 cells, and the header 2: put texts that hold the separator in quotes" in text
    assert "data.csv: line 5: not UTF-8: save the file as UTF-8" in text
    assert "data.csv: line 7: unknown format with the keys answer" in text
    assert "3 of 5 rows are bad" in text
    told: list[str] = []
    assert [one.text() for one in rows.read([path], skip_bad=True, skipped=told.append)] == ["two\nlines", "last"]
    assert [line.split(": ")[2] for line in told[:3]] == ["line 4", "line 5", "line 7"]
    assert told[3] == "skipped 3 of 5 rows"


def test_a_table_without_a_header_is_refused_without_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("Where is my parcel?,On its way.\nAnd mine?,Too.\n")
    with pytest.raises(BadRows, match=r"line 2: unknown format with the keys \(none\); rename the columns") as said:
        rows.read([path])
    assert "parcel" not in str(said.value)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.json", b'[{"prompt": "a"},\n {"prompt": "b"', r"not JSON at line 2 column \d+: .*; mend the array"),
        ("a.json", b'[{"prompt": "a"},\n {"prompt": "\xff"}]', r"not UTF-8 at line 2; mend the array"),
        ("a.jsonl.gz", gzip.compress(LINES.encode())[:-9], "damaged or cut off; copy it again"),
        ("a.csv", b'prompt,answer\n"never closed,yes\nmore,yes\n', r"not CSV at line 3: .*; put quotes right"),
        ("a.csv", b"pr\xf6mpt,answer\na,b\n", "the header is not UTF-8; save the file as UTF-8"),
        ("a.jsonl", b"\xff\xfea\x00b", "not UTF-16-LE, as its mark says; save it as UTF-8"),
        ("a.csv", b"", "no usable prompts"),
        ("a.json", b"[]", "no usable prompts"),
    ],
)
def test_a_file_that_cannot_be_read_whole_stops_the_run(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    for skip_bad in (False, True):
        with pytest.raises(DistillError, match=said):
            prompts.read([tmp_path / name], skip_bad=skip_bad)


def test_bad_items_of_an_array_and_lines_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    array, lines = tmp_path / "a.json", tmp_path / "b.jsonl"
    array.write_text('[{"prompt": "a"}, 5, {"prompt": ""}]')
    lines.write_bytes(b'{"prompt": "b"}\n{"prompt": "\xe9"}\n' + b'{"prompt":' * 3 + b"\n" + b"[" * 100_000 + b"\n")
    with pytest.raises(
        BadRows, match=r"a\.json: row 2: must be a JSON object; .*row 3: prompt: .*b\.jsonl: line 2: not J"
    ):
        prompts.read([array, lines])
    found = prompts.read([array, lines], skip_bad=True)
    assert [(one.line, one.unit) for one in found.bad] == [
        (2, "row"),
        (3, "row"),
        (2, "line"),
        (3, "line"),
        (4, "line"),
    ]
    assert [one.text() for one in found.prompts] == ["a", "b"]


def test_a_very_large_cell_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"prompt,answer\n{'x' * 300_000},y\n")
    assert len(rows.read([path])[0].text()) == 300_000
