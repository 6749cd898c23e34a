"""What one model refuses in a request, learned from its errors, so that later requests leave it out.

Reasoning models refuse `max_tokens` (they want `max_completion_tokens`) and any `temperature` but their own; older
servers refuse `max_completion_tokens`. Only what shapes the sampling is left out, never what is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any

LIMITS = ("max_tokens", "max_completion_tokens")
OMITTED = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "logit_bias",
    "parallel_tool_calls",
)
_REFUSING = (400, 422)
# How APIs say that a field or a value is refused as such, and not that this number is out of range.
_UNSUPPORTED = re.compile(
    r"unsupported|not support|n't support|unrecogni[sz]ed|unknown|unexpected|extra_forbidden|extra (fields|inputs)"
    r"|not permitted|not allowed|deprecated|only (the default|[\w'`\"]+ ?= ?1\b)|(may|can) only be",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(
    r"maximum context length|max_model_len|max_(completion_)?tokens\W.{0,40}?(too large|exceed)|too large"
    r"|at most \d+ (completion |output )?tokens",
    re.IGNORECASE,
)
_TOO_SMALL = re.compile(
    r"could not finish the message|higher max_(completion_)?tokens|below (the )?minimum"
    r"|(>=|at least|greater than) ?\d+",
    re.IGNORECASE,
)
_SHOWN = 2000


class Refusals:
    """What one model behind one address has refused so far; empty at first."""

    def __init__(self) -> None:
        self._omitted: set[str] = set()
        self._limits: set[str] = set()

    @property
    def omitted(self) -> list[str]:
        """The names of the fields that are left out, sorted."""
        return sorted(self._omitted)

    @property
    def renamed(self) -> dict[str, str]:
        """The field for the limit of the output that was refused, with the one to use instead; mostly empty."""
        return {name: _other(name) for name in self._limits}

    def limit_field(self, wanted: str = LIMITS[0]) -> str:
        """The field for the limit of the output: `wanted`, or the other one where that was refused."""
        return _other(wanted) if wanted in self._limits else wanted

    def learn(self, status: int | None, param: str | None, message: str, sent: Collection[str]) -> bool:
        """Take note of an error with this HTTP status, `param` and message, for a request with the fields `sent`.

        Returns whether the request is worth sending again, since `edit` changes it.
        """
        if status not in _REFUSING or not _UNSUPPORTED.search(message):
            return False
        name = _named(param, message, sent)
        if name in LIMITS:
            # Where both are refused, neither is the fault.
            if _other(name) in self._limits:
                return False
            self._limits.add(name)
            return True
        if name is not None:
            self._omitted.add(name)
        return name is not None

    def edit(self, body: MutableMapping[str, Any]) -> None:
        """Leave out of a body what was refused, and rename its limit of the output."""
        for name in self._omitted:
            body.pop(name, None)
        for name, other in self.renamed.items():
            if name in body:
                value = body.pop(name)
                body.setdefault(other, value)


def too_large(status: int | None, message: str) -> bool:
    """Whether an error says that the limit of the output is more than the model can write."""
    return status in _REFUSING and _TOO_LARGE.search(message) is not None


def too_small(status: int | None, message: str) -> bool:
    """Whether an error says that the limit of the output is too small for an answer, as reasoning models do."""
    return status in _REFUSING and _TOO_SMALL.search(message) is not None


def refusal(body: Any) -> tuple[str | None, str]:
    """The `param` and the words in the decoded body of an error; of an unknown shape, its JSON is the words."""
    error = body.get("error", body.get("detail", body)) if isinstance(body, Mapping) else body
    if isinstance(error, Mapping) and isinstance(error.get("message"), str):
        param, code = error.get("param"), error.get("code")
        words = f"{error['message']} {code}" if isinstance(code, str) else error["message"]
        return (param if isinstance(param, str) else None), words[:_SHOWN]
    if isinstance(error, str):
        return None, error[:_SHOWN]
    return None, "" if error is None else json.dumps(error)[:_SHOWN]


def _named(param: str | None, message: str, sent: Collection[str]) -> str | None:
    """The refused field among those that were sent: the one that `param` names, or the first in the message."""
    known = [name for name in (*OMITTED, *LIMITS) if name in sent]
    if param:
        return param if param in known else None
    found = [(match.start(), name) for name in known if (match := re.search(rf"(?<!\w){name}(?!\w)", message))]
    return min(found)[1] if found else None


def _other(limit: str) -> str:
    return LIMITS[1] if limit == LIMITS[0] else LIMITS[0]
