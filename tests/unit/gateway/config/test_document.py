"""The reader of the config's file: bounded, and strict on keys that are given twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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


ORDINARY = """\
# A comment.
numbers: [1, -2, 0x1f, 0o17, 017, 1_000, 1.5, .5, 6.02e+23, .inf, 190:20:30]
words: [yes, No, on, OFF, true, ~, null, Null, "", y, "yes", '1', =, <<]
times: {a: 2026-11-01, b: 2026-11-01T00:00:00Z, c: 2026-11-01 10:20:30.5 +01:00}
texts:
  - plain text with a # that is none
  - 'it''s'
  - "escapes \\u00e9 \\t\\x41"
  - |
    lines
      kept
  - >-
    folded
    lines
  - !!str 12
  - ! 12
  - !!int "12"
  - 2e5f
  - a:b
? complex key
: {nested: [{deep: [[[]]]}, {}]}
empty:
merged: {<<: [{a: 1, b: 2}, {b: 3, c: 4}], c: 5}
"""


def test_values_are_those_of_the_yaml_library(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(ORDINARY)
    found, expected = read_document(tmp_path / "b.yaml"), yaml.safe_load(ORDINARY.replace(", =, <<]", "]"))
    assert found["words"][-2:] == ["=", "<<"]
    del found["words"][-2:]
    assert found == expected
    assert list(map(type, found["numbers"])) == list(map(type, expected["numbers"]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]", "line 1, column 8: not valid YAML (a value that holds itself)"),
        ("a: *b", "found undefined alias"),
        ("a: &a 1\nb: &a 2", "line 2, column 4: not valid YAML (the anchor a is given twice)"),
        ("a: 1\n---\nb: 2", "but found another document"),
        ("[a]: 1", "a key that is a list or a mapping"),
        ("a: {<<: 1}", "<< merges mappings only"),
        ("a: !!python/object:os.system x", "the tag tag:yaml.org,2002:python/object:os.system is not known"),
        ("a: !!set {x}", "the tag tag:yaml.org,2002:set is none of a mapping"),
        ("a: !!map [x]", "line 1, column 4: not valid YAML (the tag tag:yaml.org,2002:map is none of a list"),
        ("a: !!seq {x: 1}", "line 1, column 4: not valid YAML (the tag tag:yaml.org,2002:seq is none of a mapping"),
        ('a: "\\0"', "a text with a control character"),
        ("a: " + "1" * 101, "a number of 101 characters"),
        ("- a", "must be a mapping"),
        ("", "must be a mapping"),
    ],
)
def test_what_no_config_has_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in _refusal(tmp_path, text)


def test_a_tab_which_nobody_sees_is_named(tmp_path: Path) -> None:
    found = _refusal(tmp_path, "a:\n\tb: 1")
    assert "line 2, column 1: not valid YAML (" in found
    assert "a tab" in found or "'\\t'" in found


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
