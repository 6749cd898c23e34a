"""What is reported and learned is of the student in force only, and a candidate's comparisons become its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert, text

from breakeven.gateway.ledger import Ledger, schema
from breakeven.gateway.ledger.database import migrate, open_engine, transaction, upgrade
from breakeven.gateway.ledger.road_tables import road_states
from breakeven.gateway.road.stages import State, write_state
from tests.contract.road_rows import enter_into


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def test_versions_of_comparisons_are_kept_when_a_ledger_is_upgraded(url: str) -> None:
    engine = open_engine(url)
    with transaction(engine, write=True) as connection:
        upgrade(connection, "0014")
        connection.execute(
            text(
                "INSERT INTO comparisons (request, at, key, student_input_value, student_output_value, "
                "teacher_input_cost, teacher_output_cost, weight, student_version) "
                "VALUES ('r', 5, '', 1, 2, 3, 4, 2.5, 'v1')"
            )
        )
        for source in ("shadow", "feedback"):
            connection.execute(
                text(f"INSERT INTO outcomes (request, source, at, weight) VALUES ('r', '{source}', 5, 1)")
            )
    migrate(engine)
    with transaction(engine, write=False) as connection:
        row = connection.execute(schema.comparisons.select()).one()
        assert (row.source, row.teacher_output_cost, row.weight, row.student_version) == ("shadow", 4, 2.5, "v1")
        found = connection.execute(text("SELECT source, version FROM outcomes ORDER BY source")).all()
        assert [tuple(row) for row in found] == [("feedback", ""), ("shadow", "v1")]
    engine.dispose()


def in_force(ledger_url: str, student: str) -> None:
    engine = open_engine(ledger_url)
    document = write_state(State("default", student=student, teacher="big"))
    with transaction(engine, write=True) as connection:
        connection.execute(road_states.delete())
        connection.execute(insert(road_states), {"workload": "default", "version": 1, "document": document})
    engine.dispose()


def test_only_the_student_in_force_is_reported_and_learned_from(url: str, tmp_path: Path) -> None:
    ledger = Ledger.open(url, journal=tmp_path / "journal")
    engine = open_engine(url)
    enter_into(engine, 60, student="v1", direction="student_answered", candidate="v2")
    try:
        # Nobody has said which one is in force: the one that was compared last in that place.
        assert len(ledger.compared(0)) == 60
        worst = [pair.student_score for pair in ledger.compared(0)]
        assert sum(worst) < 50
        in_force(url, "v2")
        best = ledger.compared(0)
        assert (len(best), {pair.student_score for pair in best}) == (60, {1.0})
        assert {one.student_score for one in ledger.judged()} == {1.0}
        assert {one.version for one in ledger.road.labels("0" * 12)} == {"v2"}
        assert ledger.road.count("default", 0, "v2") == len(ledger.road.comparisons("default", 0, "v2")) == 60
        in_force(url, "v3")
        assert ledger.compared(0) == ledger.judged() == ledger.road.labels("0" * 12) == []
        # What the two answers cost, and how many there are, is not counted twice.
        assert len(ledger.priced_pairs()) == 60
        assert ledger.outcome_counts() == (60, 60)
    finally:
        engine.dispose()
        ledger.close()


def test_both_answers_of_one_request_are_read_together(url: str, tmp_path: Path) -> None:
    ledger = Ledger.open(url, journal=tmp_path / "journal")
    engine = open_engine(url)
    try:
        assert ledger.candidates.newest_versions() is None
        enter_into(engine, 40, student="v1", candidate="v2")
        enter_into(engine, 20, student="v1")
        assert ledger.candidates.newest_versions() == ("v2", "v1", "big")
        both = ledger.candidates.compared(("v2", "v1", "big"), 0)
        assert len(both) == 40
        assert {row.difference for row in both} == {0.0, 1.0}
        assert [row.at for row in both] == sorted(row.at for row in both)
        for other in (("v2", "v0", "big"), ("v3", "v1", "big"), ("v2", "v1", "bigger")):
            assert ledger.candidates.compared(other, 0) == []
    finally:
        engine.dispose()
        ledger.close()


def test_requests_that_were_compared_without_the_candidate_are_counted_from_its_first_one_on(
    url: str, tmp_path: Path
) -> None:
    ledger = Ledger.open(url, journal=tmp_path / "journal")
    engine = open_engine(url)
    try:
        enter_into(engine, 30, student="v1")
        assert ledger.candidates.answered("v2", "v1", 0) == (0, 0)
        enter_into(engine, 20, student="v1", candidate="v2")
        enter_into(engine, 10, student="v1")
        enter_into(engine, 5, student="v0", candidate="v2")
        assert ledger.candidates.answered("v2", "v1", 0) == (30, 25)
        assert ledger.candidates.count("v2", 0) == 25
    finally:
        engine.dispose()
        ledger.close()
