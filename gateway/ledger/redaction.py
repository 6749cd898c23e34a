"""Removing personal data from texts before they are stored, with the operator's own function."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from breakeven.gateway.errors import ConfigError
from breakeven.router.functions import load_function

Redact = Callable[[str], str]

# Where a conversation says what a text is, and not what somebody wrote; a name must stay the same in all places.
_NAMES = frozenset({"role", "type", "id", "tool_call_id", "name", "model", "version", "reason", "hold", "finish"})
# What the client's program says of its tools: of these only the descriptions are texts.
_DEFINITIONS = frozenset({"tools", "functions", "tool_choice", "function_call", "response_format"})


def load_redact(name: str | None) -> Redact | None:
    """The function that `ledger.redact` names; None without one. Raises ConfigError where it cannot be loaded."""
    if name is None:
        return None
    try:
        return load_function(name)
    except ValueError as error:
        raise ConfigError([f"ledger.redact: {error}"]) from None


def redact_text(text: str, redact: Redact | None) -> str:
    """The text as it is to be stored. Raises what the function raises, and TypeError where it returns no text."""
    if redact is None:
        return text
    made = redact(text)
    if not isinstance(made, str):
        raise TypeError("ledger.redact must return a text")
    return made


def redact_document(document: dict[str, Any], redact: Redact | None) -> dict[str, Any]:
    """A stored conversation with all of its texts redacted: messages, arguments of calls, answers, and descriptions of
    tools; not images. Raises as `redact_text` does.
    """
    if redact is None:
        return document
    return {
        name: _descriptions(value, redact) if name in _DEFINITIONS else _redacted(name, value, redact)
        for name, value in document.items()
    }


def _redacted(name: str, value: Any, redact: Redact) -> Any:
    if isinstance(value, dict):
        return {inner: _redacted(inner, one, redact) for inner, one in value.items()}
    if isinstance(value, list):
        return [_redacted(name, one, redact) for one in value]
    if not isinstance(value, str) or name in _NAMES or value.startswith("data:"):
        return value
    return _arguments(value, redact) if name == "arguments" else redact_text(value, redact)


def _arguments(text: str, redact: Redact) -> str:
    """The arguments of a call, which stay JSON."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return redact_text(text, redact)
    return json.dumps(_values(given, redact), ensure_ascii=False)


def _values(value: Any, redact: Redact) -> Any:
    if isinstance(value, dict):
        return {name: _values(one, redact) for name, one in value.items()}
    if isinstance(value, list):
        return [_values(one, redact) for one in value]
    return redact_text(value, redact) if isinstance(value, str) else value


def _descriptions(value: Any, redact: Redact) -> Any:
    if isinstance(value, list):
        return [_descriptions(one, redact) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: redact_text(one, redact) if name == "description" and isinstance(one, str) else _descriptions(one, redact)
        for name, one in value.items()
    }
