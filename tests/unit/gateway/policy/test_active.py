"""The policy in force: the config's, what was put over it, and what happens to that after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.gateway.config.routing import Escalation
from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.policy.active import Policies, PolicyUpdate
from tests.support.processes import make_config

CONFIG = Config.model_validate(
    make_config("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1", routing={"threshold": 0.4})
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def open_policies(path: Path, artifact: str = "a" * 12, clock: Clock | None = None) -> Policies:
    return Policies(CONFIG, artifact, path, clock or Clock())


def test_the_configs_policy_holds_until_another_is_put(tmp_path: Path) -> None:
    policies = open_policies(tmp_path / "policy.json")
    assert (policies.active.threshold, policies.active.source) == (0.4, "config")
    policies.put(PolicyUpdate(threshold=0.7))
    assert (policies.active.threshold, policies.active.novelty_threshold, policies.active.source) == (
        0.7,
        1.0,
        "admin",
    )


def test_a_restart_keeps_it_and_another_artifact_does_not(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    open_policies(path).put(PolicyUpdate(threshold=0.7, escalation=Escalation(probe_tokens=8)))
    again = open_policies(path).active
    assert (again.threshold, again.escalation) == (0.7, Escalation(probe_tokens=8))
    assert open_policies(path, "b" * 12).active.source == "config"


def test_another_process_sees_it_within_a_second(tmp_path: Path) -> None:
    clock = Clock()
    one, other = open_policies(tmp_path / "p.json", clock=clock), open_policies(tmp_path / "p.json", clock=clock)
    assert other.active.threshold == 0.4
    one.put(PolicyUpdate(threshold=0.1))
    clock.now = 1.0
    assert other.active.threshold == 0.1
    one.clear()
    clock.now = 2.0
    assert other.active.source == "config"


def test_what_is_not_given_stays_and_null_turns_escalation_off(tmp_path: Path) -> None:
    policies = open_policies(tmp_path / "p.json")
    policies.put(PolicyUpdate(threshold=0.2, novelty_threshold=0.5, escalation=Escalation()))
    policies.put(PolicyUpdate.model_validate({"threshold": 0.3}))
    assert policies.active.model_dump(include={"threshold", "novelty_threshold"}) == {
        "threshold": 0.3,
        "novelty_threshold": 0.5,
    }
    assert policies.active.escalation is not None
    policies.put(PolicyUpdate.model_validate({"escalation": None}))
    assert policies.active.escalation is None
    assert policies.active.threshold == 0.3


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"threshold": 7})])
def test_a_broken_file_leaves_the_configs_policy(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    assert open_policies(tmp_path / "p.json").active.source == "config"


def test_where_it_cannot_be_stored_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    policies = open_policies(tmp_path / "file" / "p.json")
    with pytest.raises(OSError, match=r"."):
        policies.put(PolicyUpdate(threshold=0.9))
    assert policies.active.threshold == 0.4


class Machine:
    """A gateway's policies on a machine of its own, which share a ledger."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.clock = Clock()
        self.policies = Policies(CONFIG, "a" * 12, folder / "policy.json", self.clock, ledger)

    def threshold(self) -> float:
        self.policies.sync()
        self.clock.now += 1.0
        return self.policies.active.threshold


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", journal=tmp_path / "journal")
    yield opened
    opened.close()


def test_machines_that_share_a_ledger_share_the_policy(tmp_path: Path, ledger: Ledger) -> None:
    one, other = Machine(tmp_path / "one", ledger), Machine(tmp_path / "other", ledger)
    one.policies.put(PolicyUpdate(threshold=0.7))
    assert (one.threshold(), other.threshold()) == (0.7, 0.7)
    other.policies.put(PolicyUpdate(threshold=0.2))
    assert (one.threshold(), other.threshold()) == (0.2, 0.2)
    assert Machine(tmp_path / "third", ledger).threshold() == 0.2
    one.policies.clear()
    assert (one.threshold(), other.threshold()) == (0.4, 0.4)
    assert other.policies.active.source == "config"


def test_a_machine_that_was_away_gets_what_holds_now(tmp_path: Path, ledger: Ledger) -> None:
    Machine(tmp_path / "one", ledger).policies.put(PolicyUpdate(threshold=0.7))
    Machine(tmp_path / "other", ledger).policies.put(PolicyUpdate(threshold=0.2))
    assert Machine(tmp_path / "one", ledger).threshold() == 0.2


def test_a_ledger_that_is_away_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Away:
        def policy(self) -> tuple[int, str | None]:
            raise LedgerError("the database cannot be used")

        def put_policy(self, document: str | None) -> int:
            raise LedgerError("the database cannot be used")

    policies = Policies(CONFIG, "a" * 12, tmp_path / "policy.json", Clock(), Away())
    policies.sync()
    with pytest.raises(LedgerError):
        policies.put(PolicyUpdate(threshold=0.7))
    assert policies.active.threshold == 0.4
    assert "keeping the previous one" in caplog.text
