"""What holds a workload in its stage is said as long as it does: no comparisons, no verdicts, a damaged router."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, merged, running
from tests.contract.road_rows import enter, prompt
from tests.contract.scripted import answer, completion
from tests.contract.test_observe import results
from tests.contract.test_road import ADMIN, AUTO, CONFIG, SECONDS, breakeven, reached, routes, state

CODING = {"x-breakeven-workload": "coding"}


def held(gateway: Gateway, beginning: str, workload: str = "default") -> str:
    """What holds the workload, once it begins like this."""
    return str(
        eventually(
            lambda: one if (one := state(gateway, workload)["held"] or "").startswith(beginning) else None,
            seconds=SECONDS,
        )
    )


def released(gateway: Gateway, workload: str = "default") -> None:
    """Wait until nothing holds the workload."""
    eventually(lambda: state(gateway, workload)["held"] is None, seconds=SECONDS)


def test_that_nothing_is_compared_is_said_while_it_is_so(tmp_path: Path) -> None:
    with running(tmp_path, AUTO, environment=ADMIN) as gateway:
        enter(tmp_path, 320)
        enter(tmp_path, 5, workload="coding")
        reached(gateway, "route")
        gateway.write_config({"road": {"sample": 0}})
        text = held(gateway, "road.sample is 0: ")
        assert text == "road.sample is 0: nothing is compared, so that nobody watches the floor"
        assert held(gateway, "road.sample is 0: ", "coding").endswith("so that no router can be trained")
        assert f"  waits: {text}\n" in breakeven(gateway, "status").stdout
        gateway.write_config({"road": {"sample": 0.02}})
        released(gateway)
        released(gateway, "coding")
        assert state(gateway)["stage"] == "route"
        # Each was said once, and not again in each round.
        happened = gateway.rows("SELECT count(*) FROM road_events WHERE text LIKE 'road.sample is 0%'")
        assert happened == [(2,)]


def test_a_judge_without_verdicts_holds_the_stage_until_it_gives_them(tmp_path: Path) -> None:
    """Pairs of equal answers need no judge, and so say nothing of whether it works."""
    config = merged(CONFIG, {"road": {"scorer": "judge", "max_queue": 1000, "sample": 0.1}})
    rng = random.Random(8)
    with running(tmp_path, config, environment=ADMIN) as gateway:

        def compare(count: int, result: str, expected: int) -> None:
            for _ in range(count):
                gateway.post(chat(prompt(rng, hard=False)))
            eventually(lambda: results(gateway).get(result) == expected, seconds=60.0)

        compare(110, "compared", 110)
        gateway.student.default(*answer(completion("other")))
        gateway.teacher.on("[answer A", *answer(completion("no idea")))
        # Among all pairs this would be less than a fifth.
        compare(25, "unreadable", 25)
        enter(tmp_path, 320)
        text = held(gateway, "many comparisons end without a verdict of road.scorer")
        assert "mend the judge" in text
        found = state(gateway)
        assert (found["stage"], found["proposal"], found["comparisons"]) == ("observe", None, 430)

        verdict = json.dumps({"reason": "r", "score_a": 5, "score_b": 5, "winner": "tie"})
        gateway.teacher.on("[answer A", *answer(completion(verdict)))
        compare(105, "compared", 215)
        assert reached(gateway, "propose")["held"] is None


@pytest.fixture(params=["ledger", "disk", "both"])
def damaged(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def damage(gateway: Gateway, hash: str, where: str) -> bytes:
    """Damage what is kept of this artifact; gives the bytes that the ledger had."""
    copies = [path for path in gateway.folder.rglob(hash) if path.is_dir()]
    assert len(copies) == 1
    if where == "ledger":
        shutil.rmtree(copies[0])
    else:
        weights = copies[0] / "weights.npz"
        weights.write_bytes(weights.read_bytes()[:-100])
    with contextlib.closing(sqlite3.connect(gateway.folder / "ledger.db")) as connection, connection:
        (data,) = connection.execute("SELECT data FROM artifacts WHERE hash = ?", (hash,)).fetchone()
        if where != "disk":
            connection.execute("UPDATE artifacts SET data = ? WHERE hash = ?", (data[:5000] + b"x" * 500, hash))
    return bytes(data)


def test_a_damaged_router_is_said_and_the_teacher_answers_its_workload_alone(tmp_path: Path, damaged: str) -> None:
    with running(tmp_path, AUTO, environment=ADMIN) as gateway:
        enter(tmp_path, 320)
        enter(tmp_path, 320, workload="coding", seed=9)
        hashes = {name: reached(gateway, "route", name)["in_force"]["artifact"] for name in ("default", "coding")}
        assert len(set(hashes.values())) == 2
        gateway.stop()
        whole = damage(gateway, hashes["coding"], damaged)
        gateway.start()
        eventually(lambda: routes(gateway, hard=False, count=5) > 0.5, seconds=20.0)
        if damaged == "disk":
            # The folder is a copy of what the ledger has.
            eventually(lambda: routes(gateway, hard=False, count=5, **CODING) > 0.5, seconds=20.0)
            assert (
                f"the copy of the artifact {hashes['coding']} was damaged, and was taken from the ledger again"
                in gateway.log.read_text()
            )
            return
        held(gateway, "its router cannot be loaded, see the log: the teacher answers; roll back", "coding")
        assert f"the artifact {hashes['coding']} of workload coding cannot be loaded" in gateway.log.read_text()
        assert routes(gateway, hard=False, **CODING) == 0.0
        assert routes(gateway, hard=False) > 0.5
        assert state(gateway)["held"] is None
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
            connection.execute("UPDATE artifacts SET data = ? WHERE hash = ?", (whole, hashes["coding"]))
        eventually(lambda: routes(gateway, hard=False, count=5, **CODING) > 0.5, seconds=20.0)
        released(gateway, "coding")
