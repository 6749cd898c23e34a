"""A client's body is forwarded byte for byte, except for edited fields."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from breakeven.gateway.errors import RequestError
from breakeven.gateway.wire.body import Body, as_boolean, as_integer

ODD = b' {"b" : 1.0, "a":[1e-7, 123456789012345678901234567890],\n"s":"\\u00e9\\/", "model":"x" , "n":null} '


def test_an_unedited_body_is_sent_byte_for_byte() -> None:
    assert Body(ODD).encode() == ODD


def test_escapes_in_a_key_are_kept() -> None:
    raw = rb'{"\u007f":1,"a\/b":{"c":1,"c":2}}'
    assert Body(raw).encode() == raw


def test_setting_an_equal_value_is_not_an_edit() -> None:
    body = Body(ODD)
    body.set("model", "x")
    assert body.encode() == ODD


def test_an_edit_keeps_every_other_value_and_the_order() -> None:
    body = Body(ODD)
    body.set("model", "small")
    assert body.encode() == (
        b'{"b":1.0,"a":[1e-7, 123456789012345678901234567890],"s":"\\u00e9\\/","model":"small","n":null}'
    )


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a", "x":1, "model":"a"}',
        b'{"":1,"a":1, "":2}',
        rb'{"model":"a","\u006dodel":"b"}',
        b'{"a":{"b":1},"a":{"b":1}}',
    ],
)
def test_duplicate_keys_are_rejected(raw: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        Body(raw)
    assert (caught.value.status, caught.value.code) == (400, "duplicate_key")


@given(
    st.lists(st.tuples(st.text(max_size=2), st.integers()), max_size=5),
    st.sampled_from([None, (",", ":"), (" , ", " : ")]),
)
def test_duplicates_are_found_whatever_the_spacing(
    pairs: list[tuple[str, int]], separators: tuple[str, str] | None
) -> None:
    comma, colon = separators or (", ", ": ")
    raw = "{" + comma.join(f"{json.dumps(key)}{colon}{value}" for key, value in pairs) + "}"
    if len({key for key, _ in pairs}) == len(pairs):
        assert Body(raw.encode()).encode() == raw.encode()
    else:
        with pytest.raises(RequestError, match="twice"):
            Body(raw.encode())


def test_editing_a_copy_leaves_the_original() -> None:
    body = Body(b'{"model":"a"}')
    other = body.copy()
    other.set("model", "b")
    other.remove("nothing")
    assert body.encode() == b'{"model":"a"}'
    assert other.encode() == b'{"model":"b"}'


def test_rename_keeps_the_position_and_replaces_an_existing_field() -> None:
    body = Body(b'{"max_tokens":5,"x":1,"max_completion_tokens":7}')
    body.rename("max_tokens", "max_completion_tokens")
    assert json.loads(body.encode()) == {"max_completion_tokens": 5, "x": 1}


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b'"x"', b"1", b"null", b"{", b'{"a":nan}', b'{"a":NaN', b'{"a":"\xff"}', b'{"a":1}x'],
)
def test_anything_but_a_json_object_is_rejected(raw: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        Body(raw)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


def test_excessive_nesting_is_rejected() -> None:
    with pytest.raises(RequestError):
        Body(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}").get("a", list, "an array")


def test_null_is_the_same_as_absent() -> None:
    body = Body(b'{"stream": null}')
    assert body.get("stream", bool, "true or false") is None
    assert body.encode() == b'{"stream": null}'


def test_a_wrong_type_is_rejected_with_the_fields_name() -> None:
    with pytest.raises(RequestError) as caught:
        Body(b'{"stream":"yes"}').get("stream", bool, "true or false")
    assert (caught.value.status, caught.value.param) == (400, "stream")
    assert caught.value.message == "'stream' must be true or false."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=6), st.booleans())
def test_an_edited_body_decodes_to_the_same_values(value: dict[str, object], ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
    body = Body(raw)
    assert body.encode() == raw
    body.set("model", "small")
    assert json.loads(body.encode()) == json.loads(raw) | {"model": "small"}


def test_a_byte_order_mark_is_taken_off() -> None:
    body = Body(b"\xef\xbb\xbf" + ODD)
    assert body.encode() == ODD
    assert len(body) == len(ODD)


SCALARS = [
    "0__0", "-00__1", "0__1.0", "0__",
    None, True, False, 0, 1, 2, -1, 16, 10**12, 0.0, 1.0, 16.0, 2.5, 1e3, -3.0, "", " ", "0", "1", "16", "+16", "-16",
    " 16 ", "16.0", "16.", "16.00", "16.5", ".5", "1e3", "1_000", "1__0", "_1", "1_", "0x10", "007", "sixteen", "true",
    "TRUE", "True", "false", "yes", "no", "on", "off", "y", "n", "t", "f", "Y", "maybe", "null", "none", "2", "1.0",
    " true ", [], [1], {}, {"a": 1},
]  # fmt: skip


def as_pydantic(adapter: TypeAdapter[Any], value: object) -> Any:
    """The value as vLLM's models read it; None where they refuse it."""
    try:
        return adapter.validate_json(json.dumps(value))
    except ValidationError:
        return None


@pytest.mark.parametrize("value", SCALARS)
def test_numbers_and_flags_are_read_as_pydantic_reads_them(value: object) -> None:
    assert as_integer(value) == as_pydantic(TypeAdapter(int), value)
    assert as_boolean(value) == as_pydantic(TypeAdapter(bool), value)


@given(st.text(max_size=5) | st.from_regex(r"\A[ +-]?[0-9_]{1,4}(\.[0-9]{0,2})?\Z") | st.floats(allow_nan=False))
def test_every_spelling_is_read_as_pydantic_reads_it(value: object) -> None:
    if isinstance(value, float) and abs(value) > 2**63:
        return
    assert as_integer(value) == as_pydantic(TypeAdapter(int), value)
    assert as_boolean(value) == as_pydantic(TypeAdapter(bool), value)


def test_a_flag_is_checked_and_a_number_is_left_to_the_upstream() -> None:
    body = Body(b'{"a":"yes","b":"maybe","c":null,"d":16.0,"e":1e999,"f":[[[]]],"g":false,"h":true}')
    assert [body.boolean(name) for name in "acghz"] == [True, False, False, True, False]
    assert [body.integer(name) for name in "abcdefghz"] == [None, None, None, 16, None, None, 0, 1, None]
    with pytest.raises(RequestError, match="'b' must be true or false"):
        body.boolean("b")
    assert [body.is_null(name) for name in "acz"] == [False, True, True]


def test_a_field_is_edited_by_its_json() -> None:
    body = Body(b'{"a": [1.0, 2],  "b": 1}')
    assert body.has_any(frozenset({"b", "x"}))
    assert not body.has_any(frozenset({"x"}))
    assert not body.edit("x", lambda _: [1])
    assert not body.edit("a", lambda _: None)
    assert body.encode() == b'{"a": [1.0, 2],  "b": 1}'
    assert body.edit("a", lambda raw: msgspec.json.decode(raw, type=list[msgspec.Raw])[:1])
    assert body.encode() == b'{"a":[1.0],"b":1}'


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "-Infinity"])
def test_what_is_no_number_is_null_to_the_reader_and_sent_on_as_it_came(number: str) -> None:
    raw = b'{"temperature": %s}' % number.encode()
    body = Body(raw)
    assert body.get("temperature", Any, "a number") is None
    assert body.encode() == raw


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8", "utf-8-sig"])
def test_a_body_is_read_in_each_encoding_and_a_second_mark_is_no_json(encoding: str) -> None:
    assert Body('{"model": "é"}'.encode(encoding)).get("model", str, "a string") == "é"
    if encoding in ("utf-16", "utf-32", "utf-8-sig"):
        with pytest.raises(RequestError):
            Body('\ufeff{"model": "é"}'.encode(encoding))
