"""Reading outcome rows: errors name the line and the field, and count the bad rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from breakeven.router.outcomes import OutcomeError, default_split, read, scores, texts

GOOD = {"id": "a", "prompt": "Why?", "student_score": 0.25, "teacher_score": 1, "category": "c", "split": "dev"}


def test_rows_with_a_prompt_or_messages_are_read(write_rows: Callable[..., Path]) -> None:
    messages = {"id": 7, "messages": [{"role": "user", "content": "How?"}], "student_score": 0, "teacher_score": 0.5}
    rows = read([write_rows([GOOD, "", messages])])
    assert texts(rows) == ["Why?", "How?"]
    assert [row.id for row in rows] == ["a", "7"]
    assert (rows[0].category, rows[0].split, rows[1].category, rows[1].split) == ("c", "dev", None, None)
    student, teacher = scores(rows)
    assert student.tolist() == [0.25, 0.0]
    assert teacher.tolist() == [1.0, 0.5]


def test_gzip_files_are_read_and_truncated_ones_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    data = gzip.compress(json.dumps(GOOD).encode())
    path.write_bytes(data)
    assert len(read([path])) == 1
    path.write_bytes(data[:-12])
    with pytest.raises(OutcomeError, match="cut off"):
        read([path])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"student_score": None}, "student_score: must be a number"),
        ({"teacher_score": 1.5}, "teacher_score: must be a number in"),
        ({"teacher_score": True}, "teacher_score"),
        ({"student_score": float("nan")}, "student_score"),
        ({"prompt": None}, "prompt: missing"),
        ({"prompt": 3}, "prompt: must be a string"),
        ({"messages": "hi"}, "messages: must be an array"),
        ({"id": None}, "id: missing"),
        ({"student_tokens": -1}, "student_tokens: must be a whole number"),
    ],
)
def test_a_bad_row_is_named(write_rows: Callable[..., Path], change: dict[str, object], said: str) -> None:
    path = write_rows([GOOD, GOOD | change, GOOD, GOOD | change])
    with pytest.raises(OutcomeError) as caught:
        read([path])
    message = str(caught.value)
    assert f"{path}: line 2: {said}" in message
    assert "2 of 4 rows are bad" in message


@pytest.mark.parametrize(
    ("line", "said"), [("{", "not JSON"), ("[1]", "must be a JSON object"), ("[" * 5000, "not JSON")]
)
def test_a_line_that_is_not_a_json_object_is_an_error(write_rows: Callable[..., Path], line: str, said: str) -> None:
    with pytest.raises(OutcomeError, match=f"line 1: {said}"):
        read([write_rows([line])])


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutcomeError, match=r"cannot be read \(No such file"):
        read([tmp_path / "absent.jsonl"])
    (tmp_path / "latin").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(OutcomeError, match="not UTF-8"):
        read([tmp_path / "latin"])


def test_rows_are_selected_by_split(write_rows: Callable[..., Path]) -> None:
    path = write_rows([GOOD, GOOD | {"split": "test", "id": "b"}])
    assert [row.id for row in read([path], "test")] == ["b"]
    assert default_split([path], "test") == "test"
    assert default_split([path], "train") is None
    with pytest.raises(OutcomeError, match="no rows with split 'train'"):
        read([path], "train")
    with pytest.raises(OutcomeError, match="no rows"):
        read([write_rows([], "empty")])
