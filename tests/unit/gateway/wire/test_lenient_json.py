"""JSON with the numbers that Python's encoder writes and JSON lacks."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.gateway.wire.lenient_json import read, read_again, read_object, readable

ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


def without_odd_numbers(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [without_odd_numbers(item) for item in value]
    return {k: without_odd_numbers(v) for k, v in value.items()} if isinstance(value, dict) else value


@given(VALUES, st.booleans())
def test_what_python_writes_is_read_with_null_for_numbers_that_json_lacks(value: Any, ascii_only: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert read(ANY, data) == without_odd_numbers(value)
    assert readable(data)
    assert read_object(data) == (without_odd_numbers(value) if isinstance(value, dict) else None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a":nan}',
        b'{"a":-NaN}',
        b'{"a":NaN',
        b'"NaN',
        b"infinity",
        b"--Infinity",
        b'{"a":NaN "b":1}',
        b"\xff",
    ],
)
def test_anything_else_is_not_read(data: bytes) -> None:
    assert read_again(ANY, data) is None
    assert not readable(data)
    assert read_object(data) is None
    with pytest.raises(msgspec.DecodeError):
        read(ANY, data)


def test_texts_are_left_alone() -> None:
    value = {"NaN": 'NaN -Infinity \\" NaN', "a\\": "\\", "b": [math.nan]}
    assert read_object(json.dumps(value).encode()) == {**value, "b": [None]}


def test_a_byte_order_mark_is_skipped() -> None:
    assert read_object(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


@pytest.mark.parametrize(
    "data", [b"[" * 200_000, b'"' + b"\\" * 500_000, b'{"a":"' + b"x" * 500_000, b"NaN," * 100_000]
)
def test_malformed_input_takes_time_in_proportion_to_its_size(data: bytes) -> None:
    started = time.perf_counter()
    assert not readable(data)
    assert time.perf_counter() - started < 2
