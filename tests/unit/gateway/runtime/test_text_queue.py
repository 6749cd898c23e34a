"""Texts that wait to be stored: how many at most, and what happens to the others."""

from __future__ import annotations

import logging

import pytest

from breakeven.gateway.errors import LedgerError
from breakeven.gateway.runtime.text_queue import TextQueue


class Stored:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.down = False

    def store(self, texts: list[str]) -> None:
        if self.down:
            raise LedgerError("the disk is full")
        self.texts += texts


def test_the_oldest_are_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    stored = Stored()
    queue = TextQueue("texts", stored.store, 3, len, 10)
    for text in ("a", "bb", "ccc", "d"):
        queue.add(text)
    queue.flush()
    assert stored.texts == ["bb", "ccc", "d"]
    for text in ("x" * 8, "yyy", "z" * 11):
        queue.add(text)
    queue.flush()
    # The first makes room for the second, and the last has room nowhere.
    assert stored.texts == ["bb", "ccc", "d", "yyy"]
    said = "texts were dropped: they came faster than they can be stored"
    assert [one.getMessage() for one in caplog.records] == [f"1 {said}", f"2 {said}"]


def test_what_cannot_be_stored_waits(caplog: pytest.LogCaptureFixture) -> None:
    stored = Stored()
    queue = TextQueue("texts", stored.store, 10, len, 4)
    stored.down = True
    with caplog.at_level(logging.ERROR):
        queue.add("aa")
        queue.flush()
    assert "texts cannot be stored: the disk is full" in caplog.text
    queue.add("bb")
    queue.add("c")
    stored.down = False
    queue.flush()
    assert stored.texts == ["bb", "c"]
