"""`breakeven plan --from-ledger` on the next student: what is measured of it, or what that takes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from breakeven.gateway.config.load import load_config
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.candidates import Change
from breakeven.gateway.ledger.database import open_engine
from breakeven.gateway.road.candidate import Experiment, Phase, write_experiment
from breakeven.gateway.road.stages import Promised, Stage, State, write_state
from tests.contract.road_rows import enter_into
from tests.unit.gateway.reports.test_plan_from_ledger import FIRST, filled, plan, traffic

# What 730,000 prompt tokens, 292,000 of them cached, and 73,000 completion tokens cost at the teacher's prices.
ALONE = 11.388


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = filled(tmp_path, traffic(), [])
    settings = yaml.safe_load(path.read_text())
    settings["candidate"] = {**settings["student"], "model": "small-2"}
    path.write_text(yaml.safe_dump(settings))
    return path


def promised(student: str, bill: float, answered: float) -> Promised:
    return Promised("a" * 12, 0.5, None, answered, 0.99, 0.981, 305, FIRST, student, "big", 0.95, bill=bill)


def stored(path: Path, experiment: Experiment, state: State, comparisons: int = 0) -> None:
    """Put what a gateway would have found into the ledger."""
    url = load_config(path).ledger.url
    with contextlib.closing(Ledger.open(url, journal=path.parent / "writer")) as ledger:
        ledger.road.put_state(state.workload, 0, write_state(state))
        ledger.candidates.change(lambda _document, _states: Change(write_experiment(experiment)))
    if comparisons:
        engine = open_engine(url)
        enter_into(engine, comparisons, candidate="small-2")
        engine.dispose()


def experiment(phase: Phase, **more: Any) -> Experiment:
    return Experiment("small-2", "small", "big", "small-2", "small", "exact", phase, **more)


def test_a_certified_candidate_moves_its_share_of_the_bill(config: Path) -> None:
    routed = State("default", Stage.ROUTE, promised=promised("small", 0.5, 0.55))
    road = State("default", proposal=promised("small-2", 0.8, 0.81))
    stored(config, experiment(Phase.BETTER, roads={"default": road}), routed)
    said = plan(config).stdout
    assert (
        "Next student small-2, default: it would answer 81% of the requests and keep 98.1% or more of the quality, "
        "which moves $9.11 of the teacher's $11.39 a month to itself; the student of now has $5.69 "
        "(from 305 comparisons)."
    ) in said
    assert "Retention: not measured yet" not in said
    found = json.loads(plan(config, "--json").stdout)["from_ledger"]["next_student"]
    (one,) = found["workloads"].values()
    assert float(one["teacher_alone_usd"]) == pytest.approx(ALONE)
    assert float(one["moves_usd"]) == pytest.approx(0.8 * ALONE)
    assert float(one["moved_now_usd"]) == pytest.approx(0.5 * ALONE)


def test_what_is_missing_is_said_in_place_of_a_number(config: Path) -> None:
    assert "Next student small-2: not measured yet; nothing was compared so far." in plan(config).stdout
    stored(config, experiment(Phase.COMPARING), State("default"), comparisons=40)
    said = plan(config).stdout
    assert (
        "Next student small-2, default: not measured yet; 40 of the 300 comparisons that a router of its own takes are "
        "there." in said
    )
    found = json.loads(plan(config, "--json").stdout)["from_ledger"]["next_student"]
    assert found["workloads"]["default"]["moves_usd"] is None
    without = yaml.safe_load(config.read_text())
    del without["candidate"]
    config.write_text(yaml.safe_dump(without))
    assert "Next student: not measured yet. Name one as `candidate` in the config" in plan(config).stdout
    del without["student"]
    config.write_text(yaml.safe_dump(without))
    said = plan(config).stdout
    assert "Retention: not measured yet." in said
    assert "Next student" not in said
