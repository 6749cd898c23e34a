"""Kept conversations in a real ledger: writing, redacting, and reading them with what was measured."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from breakeven.gateway.accounting.record import Pair
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.conversation_tables import COMPARISON
from breakeven.gateway.ledger.keeping import LONGEST, Keeper, Waiting
from breakeven.gateway.ledger.kept import BY_STUDENT, BY_TEACHER, Kept
from breakeven.gateway.ledger.redaction import Redact, load_redact, redact_document
from breakeven.router.policy import Reason, Route
from tests.unit.gateway.ledger.records import record

SECRET = "ann@example.com"


def waiting(id: str, at: int, document: dict[str, Any] | None, kind: str = BY_TEACHER, workload: str = "w") -> Waiting:
    return Waiting(id, kind, at, workload, "key", 10, lambda: document)


def keeper(ledger: Ledger, redact: Redact | None = None) -> Keeper:
    return Keeper(ledger.conversations, ledger.store_prompts, redact)


def told(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def test_what_is_kept_is_read_with_its_comparison_and_feedback(ledger: Ledger) -> None:
    ids = [f"{number:032x}" for number in range(4)]
    keeper(ledger).store_conversations(
        [
            waiting(ids[0], 1, told("compared")),
            waiting(ids[1], 2, told("plain"), workload="other"),
            waiting(ids[2], 3, told("of the student"), BY_STUDENT),
            waiting(ids[3], 4, told("of the teacher")),
            waiting(ids[0], 1, told("a pair"), COMPARISON),
        ]
    )
    pair = Pair(ids[0], 1, 0.1, None, "0" * 12, 0.4, 0.9, 65, 7, 5.0, workload="w", student_version="small@2")
    ledger.settle(msgspec.structs.replace(record(at=1, reason=Reason.SHADOW), pair=pair))
    ledger.settle(record(id=ids[2], at=3, route=Route.STUDENT))
    ledger.settle(record(id=ids[3], at=4, route=Route.TEACHER))
    assert ledger.flush(20)
    ledger.feedback(ids[2], "", 0.0)
    ledger.feedback(ids[3], "", 0.25)
    found = ledger.conversations.kept()
    nothing = (None, None, None, None)
    assert found == [
        Kept(ids[0], BY_TEACHER, 1, "w", told("compared"), 0.4, 0.9, 5.0, "small@2", None, None),
        Kept(ids[1], BY_TEACHER, 2, "other", told("plain"), *nothing, None, None),
        Kept(ids[2], BY_STUDENT, 3, "w", told("of the student"), *nothing, 0.0, BY_STUDENT),
        Kept(ids[3], BY_TEACHER, 4, "w", told("of the teacher"), *nothing, 0.25, BY_TEACHER),
    ]
    assert ledger.conversations.kept("other") == found[1:2]
    assert ledger.conversations.kept(since=3) == found[2:]
    assert ledger.conversations.purge(3) == 3
    assert ledger.conversations.kept() == found[2:]


def test_what_cannot_be_said_or_is_too_long_is_not_stored(ledger: Ledger) -> None:
    keeper(ledger).store_conversations(
        [waiting("a", 1, None), waiting("b", 2, told("x" * LONGEST)), waiting("c", 3, told("half \ud800"))]
    )
    assert [(one.request, one.document) for one in ledger.conversations.kept()] == [("c", told("half ?"))]


def failing(text: str) -> str:
    if "bad" in text:
        raise RuntimeError(text)
    return text.replace(SECRET, "<EMAIL>")


def test_what_the_redaction_fails_for_is_not_stored_and_not_logged(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        store = keeper(ledger, failing)
        store.store_conversations([waiting("a", 1, told(f"to {SECRET}")), waiting("b", 2, told(f"bad {SECRET}"))])
        store.store_prompts([("a", 1, f"to {SECRET}"), ("b", 2, f"bad {SECRET}")])
    assert [one.document for one in ledger.conversations.kept()] == [told("to <EMAIL>")]
    assert ledger.stored_prompts(0, 10, 10) == ["to <EMAIL>"]
    assert [one.getMessage() for one in caplog.records] == [
        "1 conversations were not stored: RuntimeError in ledger.redact or in reading them",
        "1 prompts were not stored: RuntimeError in ledger.redact or in reading them",
    ]
    assert SECRET not in caplog.text


def test_a_redaction_that_returns_no_text_stores_nothing(ledger: Ledger) -> None:
    none: Callable[[str], Any] = lambda _: None  # noqa: E731
    keeper(ledger, none).store_conversations([waiting("a", 1, told("x"))])
    assert ledger.conversations.kept() == []


def test_names_and_schemas_stay_and_texts_go() -> None:
    call = {"id": "x-1", "type": "function", "function": {"name": "x-f", "arguments": '{"x": "x", "n": [1, "x"]}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,x"}}
    document = {
        "messages": [
            {"role": "user", "name": "x", "content": [{"type": "text", "text": "x"}, image]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "x-1", "content": "x"},
        ],
        "tools": [{"type": "function", "function": {"name": "x-f", "description": "x", "parameters": {"enum": ["x"]}}}],
        "answer": {"role": "assistant", "content": "x", "reasoning_content": "x"},
        "model": "x",
        "cost": 5,
    }
    made = redact_document(document, lambda text: text.replace("x", "-"))
    call = {**call, "function": {"name": "x-f", "arguments": '{"x": "-", "n": [1, "-"]}'}}
    tool = {"name": "x-f", "description": "-", "parameters": {"enum": ["x"]}}
    assert made == {
        "messages": [
            {"role": "user", "name": "x", "content": [{"type": "text", "text": "-"}, image]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "x-1", "content": "-"},
        ],
        "tools": [{"type": "function", "function": tool}],
        "answer": {"role": "assistant", "content": "-", "reasoning_content": "-"},
        "model": "x",
        "cost": 5,
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [("no_such:f", "ledger.redact: cannot import no_such"), ("json:no", "json has no no"), ("json:__doc__", "no func")],
)
def test_a_redaction_that_cannot_be_loaded_is_named(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_redact(name)
    assert load_redact(None) is None
