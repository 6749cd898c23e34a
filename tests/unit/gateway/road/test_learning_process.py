"""Learning in a process of its own: the same result, killed with its caller, errors without a prompt."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.road.learn import learn
from breakeven.gateway.road.learning_process import learn_apart
from breakeven.gateway.road.task import Learned, Task
from breakeven.router.model import artifact
from tests.support.processes import CHECKOUT
from tests.unit.gateway.road.conftest import comparisons


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", CHECKOUT)


def running(out: Path) -> list[int]:
    """The ids of the processes that have this directory among their arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(out) in arguments:
            found.append(int(folder.name))
    return found


async def started(out: Path) -> int:
    """Wait for the process, and return its id."""
    for _ in range(500):
        if processes := running(out):
            return processes[0]
        await asyncio.sleep(0.01)
    raise AssertionError("no process was started")


def learned(task: Task, out: Path, limit_seconds: float = 60.0) -> Learned:
    return asyncio.run(learn_apart(task, out, limit_seconds))


def test_the_result_is_that_of_learning_here(tmp_path: Path) -> None:
    task = Task(comparisons(200, 1), 0.95, 0.025)
    apart, here = learned(task, tmp_path / "apart"), learn(task, tmp_path / "here")
    assert artifact.load(tmp_path / "apart").hash == apart.artifact
    # The hash holds the time of training, and with several threads the last digits of a weight may differ.
    assert (apart.share, apart.answered, apart.retention) == (here.share, here.answered, here.retention)
    assert apart.threshold == pytest.approx(here.threshold)


def test_it_has_a_low_priority_and_dies_with_its_caller(tmp_path: Path) -> None:
    async def cancelled() -> int:
        caller = asyncio.ensure_future(learn_apart(Task(comparisons(3000, 2), 0.95, 0.025), tmp_path / "art"))
        process = await started(tmp_path / "art")
        nice = 0
        for _ in range(500):
            nice = os.getpriority(os.PRIO_PROCESS, process)
            if nice >= 10:
                break
            await asyncio.sleep(0.02)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        return nice

    assert asyncio.run(cancelled()) >= 10
    assert running(tmp_path / "art") == []
    assert not (tmp_path / "art").exists()


def test_it_has_a_time_limit(tmp_path: Path) -> None:
    task = Task(comparisons(3000, 3), 0.95, 0.025)
    with pytest.raises(BreakevenError, match=r"learning from 3000 comparisons took over 0\.2 s"):
        learned(task, tmp_path / "art", limit_seconds=0.2)
    assert running(tmp_path / "art") == []


def test_an_error_is_one_sentence_without_a_prompt(tmp_path: Path) -> None:
    rows = comparisons(60, 4)
    rows[3] = msgspec.structs.replace(rows[3], student=7.0)
    with pytest.raises(BreakevenError) as raised:
        learned(Task(rows, 0.95, 0.025), tmp_path / "art")
    assert str(raised.value) == "learning from comparisons failed (ValueError)"
    with pytest.raises(BreakevenError, match=r"failed \(ArtifactError\)"):
        learned(Task(comparisons(60, 4), 0.95, 0.025, prior=str(tmp_path / "absent")), tmp_path / "art")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BreakevenError, match=r"FileExistsError: File exists|NotADirectoryError: Not a directory"):
        learned(Task(comparisons(60, 5), 0.95, 0.025), tmp_path / "file" / "art")


def test_a_process_that_is_killed_is_said(tmp_path: Path) -> None:
    async def killed() -> None:
        caller = asyncio.ensure_future(learn_apart(Task(comparisons(3000, 6), 0.95, 0.025), tmp_path / "art"))
        os.kill(await started(tmp_path / "art"), 9)
        await caller

    with pytest.raises(BreakevenError, match="was killed by signal 9 without a result"):
        asyncio.run(killed())
