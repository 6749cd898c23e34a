"""The reader of the config's file: bounded, and strict on keys that are given twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from breakeven.gateway.config.document import read_document
from breakeven.gateway.errors import ConfigError
from tests.attack.reload import fuzz_reader


def _refusal(folder: Path, text: str) -> str:
    (folder / "b.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_document(folder / "b.yaml")
    (line,) = refused.value.faults
    return line


def test_aliases_and_merged_keys_of_an_ordinary_config_are_read(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    assert read_document(tmp_path / "b.yaml") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}


def test_a_key_of_the_merged_mapping_may_be_given_again(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, x: 2}\n")
    assert read_document(tmp_path / "b.yaml")["b"] == {"x": 2}


def test_a_key_given_twice_is_named_with_its_line(tmp_path: Path) -> None:
    assert "line 3, column 1: not valid YAML (the key a is given twice)" in _refusal(tmp_path, "a: 1\nb: 2\na: 3\n")


@pytest.mark.parametrize("merge", [False, True])
def test_aliases_of_aliases_are_refused_before_they_grow(tmp_path: Path, merge: bool) -> None:
    lines = ["x0: &x0 {a: 1}"]
    for n in range(1, 12):
        names = ", ".join([f"*x{n - 1}"] * 10)
        lines.append(f"x{n}: &x{n} " + (f"{{<<: [{names}]}}" if merge else f"[{names}]"))
    assert "its aliases stand for too many values" in _refusal(tmp_path, "\n".join(lines))


def test_a_deep_file_is_refused(tmp_path: Path) -> None:
    assert "nested more than 50 deep" in _refusal(tmp_path, "a: " + "[" * 60 + "]" * 60)


def test_mutated_configs_are_read_or_refused_in_lines(tmp_path: Path) -> None:
    counts = fuzz_reader(tmp_path, 3.0, seed=20261128)
    assert 0 < counts["refused"] < counts["read"]
