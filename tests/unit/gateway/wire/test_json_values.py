"""Counting the members of JSON texts: exact at any nesting, and whatever is inside of strings."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from breakeven.gateway.wire import json_values
from breakeven.gateway.wire.json_values import has_more_values


def members(value: Any) -> int:
    """The same count from the decoded value: one for each array and object, and for each further member."""
    if isinstance(value, dict):
        return 1 + max(0, len(value) - 1) + sum(map(members, value.values()))
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(members, value))
    return 0


def made(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if depth > 3 or kind < 0.4:
        return "".join(rng.choices('\\",{[a', k=rng.randrange(9)))
    if kind < 0.7:
        return [made(rng, depth + 1) for _ in range(rng.randrange(5))]
    return {"".join(rng.choices('\\",{[a', k=3)): made(rng, depth + 1) for _ in range(rng.randrange(4))}


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
def test_it_counts_as_a_parser_would(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(json_values, "_PIECE_BYTES", piece)
    rng = random.Random(piece)
    for _ in range(500):
        value = made(rng)
        text, count = json.dumps(value).encode(), members(value)
        # A text has two bytes or more for each; shorter ones are let through unread.
        for most in (count - 1, count):
            if 0 <= 2 * most <= len(text):
                assert has_more_values(text, most) == (count > most), (text, count, most)


def test_text_does_not_count() -> None:
    text = json.dumps({"content": 'a,b,{"c":[1,2]}\\' * 50_000}).encode()
    assert not has_more_values(text, 1000)
    assert has_more_values(b"[" + b"{}," * 2000 + b"{}]", 1000)
