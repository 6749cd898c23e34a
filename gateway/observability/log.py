"""Logging as JSON lines on standard error, one per settled request. No line contains a prompt or a key."""

from __future__ import annotations

import functools
import logging
import sys
import time
import traceback
from typing import Any

import msgspec

from breakeven.gateway.accounting.record import Outcome, RequestRecord
from breakeven.gateway.config.log import Log
from breakeven.gateway.observability.lines import Lines
from breakeven.router.masking import masked

_requests = logging.getLogger("breakeven.request")


class JsonFormatter(logging.Formatter):
    """Formats a log record as one JSON line.

    A traceback is reduced to its frames, since an exception's message may contain a prompt. For the same reason, of a
    library's message only the first line is kept, without its arguments filled in.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        settled = getattr(record, "settled", None)
        if settled is not None:
            line["request"] = msgspec.Raw(settled)
        else:
            ours = record.name.partition(".")[0] == "breakeven"
            line["message"] = masked(record.getMessage() if ours else str(record.msg).partition("\n")[0])
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["frames"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(record.exc_info[2])]
        return msgspec.json.encode(line).decode()


class LineHandler(logging.Handler):
    """Writes lines to standard error. Those of settled requests bypass `logging`, which would cost more CPU time."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines = Lines(sys.stderr.fileno())
        self._at = 0
        self._head = b""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line."""
        try:
            self.lines.write(self.format(record).encode() + b"\n")
        except Exception:
            self.handleError(record)

    def settled(self, record: bytes) -> None:
        """Write the line of a settled record, given as the JSON of the ledger's journal. Never raises."""
        now = time.time_ns() // 1_000_000
        if now != self._at:
            self._at = now
            head = f'{{"time":"{_second(now // 1000)}.{now % 1000:03d}Z","level":"info","logger":"breakeven.request",'
            self._head = head.encode() + b'"request":'
        self.lines.write(b"%b%b}\n" % (self._head, record))

    def flush(self) -> None:
        """Wait, for a second at most, until what was logged is written."""
        self.lines.flush()


def lines_lost() -> int:
    """How many lines this process could not write, since whoever reads standard error did not."""
    return sum(handler.lines.lost for handler in logging.getLogger().handlers if isinstance(handler, LineHandler))


def settled(record: RequestRecord, encoded: bytes, section: Log) -> None:
    """Log a settled record, also given as JSON, at level info, if it is to be logged."""
    if not _requests.isEnabledFor(logging.INFO) or not (section.sample >= 1.0 or _wanted(record, section)):
        return
    handlers = logging.getLogger().handlers
    if len(handlers) == 1 and isinstance(handlers[0], LineHandler):
        handlers[0].settled(encoded)
    else:
        _requests.info("", extra={"settled": encoded})


def _wanted(record: RequestRecord, section: Log) -> bool:
    if record.outcome is not Outcome.OK or record.seconds > section.slow_seconds or len(record.attempts) > 1:
        return True
    # The end of an id is random, and all gateways draw alike.
    return int(record.id[-8:], 16) < section.sample * (1 << 32)


def configure(level: str = "info") -> None:
    """Set up logging for the process: our loggers at `level` (a name in lower or upper case), libraries at warning."""
    root = logging.getLogger()
    root.handlers = [LineHandler()]
    root.setLevel(logging.WARNING)
    logging.getLogger("breakeven").setLevel(level.upper())


@functools.lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
