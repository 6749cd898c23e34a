"""Log lines are JSON and contain nothing from exception messages or from arguments of libraries' messages."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest

from breakeven.gateway.observability.log import JsonFormatter


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    handler = Lines()
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler.lines
    root.removeHandler(handler)


def test_a_traceback_is_logged_as_frames_without_the_exception_message(lines: list[dict[str, object]]) -> None:
    try:
        raise ValueError("canary")
    except ValueError as error:
        logging.getLogger("breakeven.relay").error("a request failed: %s", "why", exc_info=error)
    (line,) = lines
    assert line["message"] == "a request failed: why"
    assert line["error"] == "ValueError"
    assert "test_log.py" in str(line["frames"])
    assert "canary" not in json.dumps(line)


def test_arguments_of_a_librarys_log_message_are_left_out(lines: list[dict[str, object]]) -> None:
    logging.getLogger("aiohttp.client").warning("cannot read %s\nof canary", "canary")
    assert lines[0]["message"] == "cannot read %s"
    assert "canary" not in json.dumps(lines)


def test_the_exception_message_of_an_unawaited_task_is_not_logged(lines: list[dict[str, object]]) -> None:
    async def main() -> None:
        context = {"message": "Task exception was never retrieved", "exception": ValueError("canary")}
        asyncio.get_running_loop().default_exception_handler({**context, "future": "<Task exception=canary>"})

    asyncio.run(main())
    assert lines[0]["message"] == "Task exception was never retrieved"
    assert "canary" not in json.dumps(lines)
