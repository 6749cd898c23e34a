"""What compared answers say of a threshold."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from breakeven.gateway.accounting.record import Pair
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.reports.labels import LEAST, Labels, expected, not_measured, read, solve, traffic
from breakeven.gateway.road.stages import Stage, State
from breakeven.router.evaluation.tune import TuneError
from breakeven.router.model.artifact import Artifact, load
from breakeven.router.policy import Reason
from tests.unit.gateway.ledger.records import record

NEW, OLD = "small@2", "small@1"


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return load()


def compare(ledger: Ledger, at: int, artifact: str | None, score: float | None, **changes: object) -> None:
    """One comparison that was made of live traffic; the student's answer is half as good."""
    pair = Pair(
        f"{at:032x}", at, score, None, artifact, 0.5, 1.0, 65, 7, 4.0, 10, 20, 30, 40, "", "default",
        student_version=NEW,
    )  # fmt: skip
    pair = msgspec.structs.replace(pair, **changes)
    ledger.settle(msgspec.structs.replace(record(at=at, reason=Reason.SHADOW), pair=pair))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", journal=tmp_path / "journal")


def test_only_what_this_artifact_scored_of_this_student_since_the_last_change_counts(
    ledger: Ledger, artifact: Artifact
) -> None:
    compare(ledger, 1, artifact.hash, 0.1)
    compare(ledger, 2, artifact.hash, 0.2, student_version=OLD)
    compare(ledger, 3, "f" * 12, 0.3)
    compare(ledger, 4, artifact.hash, 0.4)
    compare(ledger, 5, artifact.hash, 0.5, workload="search", student_version=OLD)
    compare(ledger, 6, artifact.hash, 0.6, novelty=0.999)
    assert ledger.flush(20)
    found = read(ledger, artifact, 0.99)
    assert found.score.tolist() == [0.6, 0.5, 0.4, 0.1]
    assert found.novel.tolist() == [True, False, False, False]
    assert found.missing == LEAST - 4
    assert read(ledger, artifact, 0.99, "search").score.tolist() == [0.5]
    state = msgspec.json.encode(State("default", Stage.WATCH, measured_since=4)).decode()
    ledger.road.put_state("default", 0, state)
    assert read(ledger, artifact, 0.99, "default").score.tolist() == [0.6, 0.4]
    ledger.close()


def test_stored_prompts_that_were_not_scored_are_scored_now(ledger: Ledger, artifact: Artifact) -> None:
    compare(ledger, 1, None, None)
    compare(ledger, 2, None, None)
    ledger.store_prompts([(f"{1:032x}", 1, "Prove that the square root of two is irrational.")])
    assert ledger.flush(20)
    found = read(ledger, artifact, 1.0)
    assert found.score.tolist() == [artifact.assess("Prove that the square root of two is irrational.").score]
    # One that was trained on outcomes may have been trained on these.
    artifact.difficulty.ranks = False
    try:
        assert len(read(ledger, artifact, 1.0).score) == 0
    finally:
        artifact.difficulty.ranks = True
    ledger.close()


def labels(count: int, worse: float, seed: int = 0) -> Labels:
    """The student fails on `worse` of the harder half, and never on the other."""
    rng = np.random.default_rng(seed)
    score = rng.random(count)
    student = np.where((score >= 0.5) & (rng.random(count) < worse), 0.0, 1.0)
    return Labels(score, np.zeros(count, dtype=bool), student, np.ones(count), np.ones(count))


def test_a_floor_is_kept_by_the_threshold_that_is_solved() -> None:
    found = labels(1000, 0.5)
    threshold, limit = solve(found, 0.95, 0.95, escalation=False)
    assert limit is None
    assert 0.45 < threshold < 0.65
    kept = expected(found, threshold)
    assert kept is not None
    assert kept.value >= 0.95


@pytest.mark.parametrize(
    ("compared", "floor", "said"),
    [
        (labels(LEAST - 1, 0.5), 0.9, "not measured yet: 1 more comparison;"),
        (labels(40, 0.0), 0.98, "40 comparisons are too few to promise 98.0% with 95% confidence: about"),
        (labels(400, 1.0)._replace(student=np.zeros(400)), 0.9999, "sixteen times as many like these would not"),
    ],
)
def test_a_floor_that_is_not_certified_says_what_is_missing(compared: Labels, floor: float, said: str) -> None:
    with pytest.raises(TuneError, match=said):
        solve(compared, floor, 0.95, escalation=False)


def test_equal_scores_go_the_same_way() -> None:
    count = 400
    score = np.repeat([0.2, 0.8], count // 2)
    found = Labels(score, np.zeros(count, bool), np.where(score < 0.5, 1.0, 0.0), np.ones(count), np.ones(count))
    threshold, _ = solve(found, 0.9, 0.95, escalation=False)
    assert threshold == 0.8


def test_the_escalation_limit_needs_log_probabilities() -> None:
    found = labels(400, 0.5)
    with pytest.raises(TuneError, match="log-probabilities"):
        solve(found, 0.9, 0.95, escalation=True)
    unsure = np.where(found.student < 1.0, -2.0, -0.05)
    _, limit = solve(found._replace(logprob=unsure), 0.98, 0.95, escalation=True)
    assert limit is not None


def test_the_sentence_counts() -> None:
    assert not_measured(1) == "not measured yet: 1 more comparison"
    assert not_measured(30) == "not measured yet: 30 more comparisons"


def test_compared_requests_stand_for_the_traffic_as_their_weights_say() -> None:
    rare = np.arange(100) % 5 == 0
    score, weight = np.where(rare, 0.9, 0.1), np.where(rare, 1.0, 4.0)
    found = traffic(Labels(score, rare, np.ones(100), np.ones(100), weight))
    # 20 of weight 1 and 80 of weight 4.
    assert (found.score == 0.9).mean() == pytest.approx(20 / 340, abs=0.01)
    assert (found.novel == (found.score == 0.9)).all()
    alike = traffic(Labels(score, rare, np.ones(100), np.ones(100), np.full(100, 7.0)))
    assert sorted(alike.score) == sorted(score)
