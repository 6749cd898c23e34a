"""Reading prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from breakeven.models.data.prompts import key_of, read
from breakeven.models.errors import BadRows, DistillError


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_prompts_are_read_deduplicated_and_split_by_their_text(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "prompt": "Where is my parcel?", "category": "status", "reference": "x"},
        {"prompt": "where  is my PARCEL?"},
        {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Where is my parcel?"}]},
    ]
    found = read([write(tmp_path / "p.jsonl", *rows)])
    assert [one.id for one in found.prompts] == ["7", "p-3"]
    assert (found.duplicates, found.rows, found.bad) == (1, 3, [])
    assert found.prompts[0].carried == {"category": "status", "reference": "x"}
    with_system = read([tmp_path / "p.jsonl"], system="S")
    assert len(with_system.prompts) == 1, "the system message is part of the key"
    many = read([write(tmp_path / "many.jsonl", *({"prompt": f"number {i}"} for i in range(2000)))])
    held_out = [one.id for one in many.prompts if one.split(0.1) == "eval"]
    assert 150 < len(held_out) < 250
    assert held_out == [one.id for one in many.prompts if one.split(0.1) == "eval"]
    assert {one.split(0.0) for one in many.prompts} == {"train"}


def test_bad_rows_are_reported_or_skipped_on_request(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.jsonl",
        {"prompt": "good"},
        "{nonsense",
        {"prompt": "  "},
        {"text": "no prompt"},
        {"messages": [{"role": "user", "content": [1]}]},
        {"messages": [{"role": "assistant", "content": "a"}]},
        [1],
    )
    with pytest.raises(BadRows, match=r"p\.jsonl: line 2: not JSON.*line 3: prompt: .*6 of 7 rows are bad") as caught:
        read([path])
    assert [row.line for row in caught.value.rows] == [2, 3, 4, 5, 6, 7]
    assert len(read([path], skip_bad=True).prompts) == 1
    with pytest.raises(DistillError, match="cannot be read"):
        read([tmp_path / "absent.jsonl"])
    with pytest.raises(DistillError, match="no usable prompts"):
        read([write(tmp_path / "empty.jsonl")])


def test_a_key_ignores_case_and_white_space() -> None:
    one = key_of([{"role": "user", "content": "A  b"}])
    assert one == key_of([{"role": "user", "content": "a b "}])
    assert one != key_of([{"role": "system", "content": "A b"}])
