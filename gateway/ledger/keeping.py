"""What waits to be stored in the ledger by consent, and how it is written: redacted first, and never for a client."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from breakeven.gateway.ledger.conversations import Conversation, ConversationStore
from breakeven.gateway.ledger.redaction import Redact, redact_document, redact_text

_log = logging.getLogger("breakeven.texts")

# Between so many the thread sleeps, to yield the GIL to requests: an answer of some hundred events takes half a
# millisecond to read.
_YIELD_EVERY, _YIELD_SECONDS = 10, 0.0003
# Characters of a conversation, as JSON, that are stored at most.
LONGEST = 1 << 18
Prompt = tuple[str, int, str]


class Waiting(NamedTuple):
    """A conversation that waits. `document` makes what is to be stored of it, None for nothing; it is called in another
    thread. `size` are the bytes that it holds until then. The others are as in `Conversation`.
    """

    request: str
    kind: str
    at: int
    workload: str
    key: str
    size: int
    document: Callable[[], dict[str, Any] | None]


class Keeper:
    """Writes what waits. What the operator's function fails for is not stored, and the log has only how many these are
    and the type of the error.
    """

    def __init__(
        self, conversations: ConversationStore, prompts: Callable[[Sequence[Prompt]], None], redact: Redact | None
    ) -> None:
        """`prompts` stores the texts that the router read. Both raise LedgerError."""
        self._conversations = conversations
        self._prompts = prompts
        self._redact = redact

    def store_conversations(self, waiting: Sequence[Waiting]) -> None:
        """Store conversations, but for those that are too long. Raises LedgerError."""
        made = self._each("conversations", waiting, self._conversation)
        if made:
            self._conversations.store(made)

    def store_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Store the texts that the router read. Raises LedgerError."""
        made = self._each("prompts", prompts, lambda one: (one[0], one[1], redact_text(one[2], self._redact)))
        if made:
            self._prompts(made)

    def _conversation(self, one: Waiting) -> Conversation | None:
        document = one.document()
        if document is None:
            return None
        text = encoded(redact_document(document, self._redact))
        if len(text) > LONGEST:
            return None
        return Conversation(one.request, one.kind, one.at, one.workload, one.key, text)

    @staticmethod
    def _each(what: str, waiting: Sequence[Any], make: Callable[[Any], Any]) -> list[Any]:
        made: list[Any] = []
        failed: dict[str, int] = {}
        for number, one in enumerate(waiting, 1):
            if number % _YIELD_EVERY == 0:
                time.sleep(_YIELD_SECONDS)
            try:
                found = make(one)
            except Exception as error:  # the operator's function may raise anything, with the text in its message
                failed[type(error).__name__] = failed.get(type(error).__name__, 0) + 1
            else:
                if found is not None:
                    made.append(found)
        for name, count in failed.items():
            _log.error("%d %s were not stored: %s in ledger.redact or in reading them", count, what, name)
        return made


def encoded(document: dict[str, Any]) -> str:
    """A document as JSON. What UTF-8 cannot hold is replaced by question marks."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace").decode()
