"""The log: one JSON line per request, from the settled record, on standard error. No prompt, no key."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from typing import Any

import msgspec

from gateway.record import RequestRecord


class JsonFormatter(logging.Formatter):
    """A record as one JSON line.

    A traceback is given by its frames: an exception's text may hold a prompt. For the same reason a library's
    line is the first one of its message, without what it was to be filled with.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        settled = getattr(record, "record", None)
        if isinstance(settled, RequestRecord):
            line["request"] = msgspec.Raw(msgspec.json.encode(settled))
        else:
            ours = record.name.partition(".")[0] == "breakeven"
            line["message"] = record.getMessage() if ours else str(record.msg).partition("\n")[0]
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["frames"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(record.exc_info[2])]
        return msgspec.json.encode(line).decode()


def configure(level: str = "info") -> None:
    """Send every logger's lines through the formatter; libraries speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("breakeven").setLevel(level.upper())
