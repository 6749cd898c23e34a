"""Removing what another upstream's model thought, from any JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.gateway.endpoints.foreign import portable_items, portable_messages, without_foreign_reasoning
from breakeven.router.policy import Route

SECRET = {"type": "reasoning", "id": "rs_1", "encrypted_content": "x"}
NAMED = {"type": "reasoning", "id": "rs_2"}
READABLE = {"type": "reasoning", "id": "rs_3", "content": [{"type": "reasoning_text", "text": "x"}]}
USER = {"role": "user", "content": "hi"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "content", "id", "role", "reasoning"]) | st.text(), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def values(found: list[msgspec.Raw] | None) -> list[Any] | None:
    return None if found is None else [json.loads(bytes(one)) for one in found]


@pytest.mark.parametrize(
    ("route", "maker", "items", "kept"),
    [
        (Route.STUDENT, None, [USER, SECRET, NAMED, READABLE], [USER, READABLE]),
        (Route.STUDENT, Route.TEACHER, [USER, READABLE], None),
        (Route.TEACHER, None, [USER, SECRET, NAMED], None),
        (Route.TEACHER, Route.STUDENT, [USER, READABLE], [USER]),
        (Route.TEACHER, None, [USER, READABLE], None),
        (Route.TEACHER, Route.TEACHER, [USER, READABLE], None),
        (Route.TEACHER, Route.TEACHER, [USER, READABLE, NAMED], [USER, NAMED]),
    ],
)
def test_reasoning_that_an_upstream_cannot_have_made_is_removed(
    route: Route, maker: Route | None, items: list[Any], kept: list[Any] | None
) -> None:
    assert values(without_foreign_reasoning(raw(items), route, maker)) == kept


def test_ids_are_removed_for_the_teacher_only() -> None:
    items = [{"type": "message", "id": "m", "role": "assistant"}, {"type": "shell_call", "id": "s"}]
    plain = [{"type": "message", "role": "assistant"}, items[1]]
    assert values(portable_items(raw(items), Route.TEACHER)) == plain
    assert portable_items(raw(items), Route.STUDENT) is None
    searched = {"type": "web_search_call", "id": "w"}
    assert values(portable_items(raw([*items, searched]), Route.STUDENT)) == items


@given(JSON)
def test_any_json_is_read_without_error(value: object) -> None:
    for route in Route:
        portable_items(raw(value), route)
        without_foreign_reasoning(raw(value), route, None)
    portable_messages(raw(value))
    portable_messages(raw([value]))
