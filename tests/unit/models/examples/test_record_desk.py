"""Recording the support desk's set: what an interrupted run has recorded is kept, for the same student only."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest

from breakeven.models import recorded
from breakeven.models.errors import DistillError
from breakeven.models.examples import record_desk
from breakeven.models.examples.held_out import HeldOut, held_out
from breakeven.models.examples.record_desk import prompt_of, record, summary

WANTED = held_out(5)


def row(one: HeldOut, answer: str, score: float) -> recorded.Recorded:
    """What a student may have said."""
    prompt, tokens = prompt_of(one), ("LOOK", "<end>")
    return recorded.Recorded(
        one.id,
        prompt.category,
        prompt.prompt,
        prompt.checker,
        prompt.reference,
        answer,
        score,
        20,
        len(tokens),
        prompt.teacher,
        1.0,
        20,
        7,
        one.wording,
        tokens,
        (-0.25, -0.5),
    )


ROWS = [row(one, "LOOK", float(number % 2)) for number, one in enumerate(WANTED)]


@pytest.fixture
def student(tmp_path: Path) -> Path:
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def begun(out: Path, student: Path, rows: list[recorded.Recorded]) -> Path:
    partial = out.with_name(f"{out.name}.partial")
    header = msgspec.json.encode({"student": record_desk.fingerprint(student)})
    partial.write_bytes(b"\n".join([header, *map(msgspec.json.encode, rows)]) + b"\n")
    return partial


def test_a_recording_that_has_all_is_packed_without_asking_again(tmp_path: Path, student: Path) -> None:
    out = tmp_path / "desk.jsonl.gz"
    partial = begun(out, student, ROWS[::-1])
    # There is no such interpreter: nothing may be served.
    assert record(out, student, "/no/python", WANTED) == ROWS
    assert recorded.parse(gzip.decompress(out.read_bytes())) == ROWS
    assert not partial.exists()


def test_a_recording_of_another_student_is_refused(tmp_path: Path, student: Path) -> None:
    out = tmp_path / "desk.jsonl.gz"
    partial = begun(out, student, ROWS)
    (student / "model.safetensors").write_bytes(b"others")
    with pytest.raises(DistillError, match="another student; move it away"):
        record(out, student, "/no/python", WANTED)
    assert partial.exists()


def test_a_folder_without_weights_is_an_error_of_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record_desk.main([str(tmp_path / "out.gz"), "--student", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("record_desk: ")
    assert "no *.safetensors" in said
    assert said.count("\n") == 1


def test_the_summary_counts_by_class_and_wording() -> None:
    lines = summary(ROWS).splitlines()
    assert lines[-1] == "| all | 5 | 40% |"
    assert any(line.startswith("| common, trained |") for line in lines)
