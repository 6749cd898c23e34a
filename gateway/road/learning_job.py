"""The process that learns: a `Task` as JSON on its input, a `Learned` or the kind of an error as JSON on its output.

`python -m breakeven.gateway.road.learning_job OUT` is started by `learning_process`, never by people. Prompts are in
its memory only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from breakeven.gateway.road.task import Learned, Task

_NICENESS = 10


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why learning failed: what kind of error, and for an error of the operating system its text."""

    kind: str
    reason: str | None


class Done(msgspec.Struct, frozen=True, tag=True):
    """What was learned."""

    learned: Learned


def main() -> None:
    """Learn what standard input says, and write `Done` or `Failed` to standard output."""
    os.nice(_NICENESS)
    try:
        task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
        # Takes a second to import, which need not be at normal priority.
        from breakeven.gateway.road.learn import learn

        result: Done | Failed = Done(learn(task, Path(sys.argv[1])))
    except Exception as error:
        # The text of any other error could quote a prompt.
        reason = error.strerror if isinstance(error, OSError) else None
        result = Failed(type(error).__name__, reason)
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
