"""Learning in a process of its own, at low priority, so that no request waits for it."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import msgspec

from breakeven.gateway.errors import LearningFailed
from breakeven.gateway.road.learning_job import Done, Failed
from breakeven.gateway.road.task import Learned, Task

_JOB = "breakeven.gateway.road.learning_job"
# Built at import: where two threads use a type of msgspec for the first time at once, it crashes the process.
_RESULT: msgspec.json.Decoder[Done | Failed] = msgspec.json.Decoder(Done | Failed)
_LIMIT_SECONDS = 600.0
# One thread each: with more, the small matrices of training take longer, and requests wait.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


async def learn_apart(task: Task, out: Path, limit_seconds: float = _LIMIT_SECONDS) -> Learned:
    """What `learn.learn` returns, computed by a process of its own.

    The prompts go to it through a pipe and are not written to disk. It is killed when the caller is cancelled and after
    `limit_seconds`. Raises LearningFailed.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", _JOB, str(out)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env={**os.environ, **dict.fromkeys(_THREADS, "1")},
    )
    try:
        async with asyncio.timeout(limit_seconds):
            output, _ = await process.communicate(msgspec.json.encode(task))
    except TimeoutError:
        raise LearningFailed(f"learning from {len(task.rows)} comparisons took over {limit_seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _learned(output, process.returncode)


def _learned(output: bytes, code: int | None) -> Learned:
    try:
        result = _RESULT.decode(output)
    except msgspec.MsgspecError:
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"exited with code {code}"
        raise LearningFailed(f"the process that learns from comparisons {how} without a result") from None
    if isinstance(result, Failed):
        because = f": {result.reason}" if result.reason else ""
        raise LearningFailed(f"learning from comparisons failed ({result.kind}{because})")
    return result.learned
