"""Workloads: which one a request is counted in, and savings by workload and by key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import answer, completion
from tests.contract.test_road import breakeven

ADMIN = "the-admin-key"
KEYS = {"team-a": "key-a", "team-b": "key-b"}


def configured(**auth: Any) -> dict[str, Any]:
    keys = [
        {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), **auth.get(name, {})}
        for name, key in KEYS.items()
    ]
    return {"workloads": ["search"], "auth": {"keys": keys}, "road": {"sample": 1.0, "scorer": "exact"}}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = configured(**{"team-b": {"workload": "support"}})
    folder = tmp_path_factory.mktemp("workloads")
    with running(folder, config, environment={"BREAKEVEN_ADMIN_KEY": ADMIN}) as gateway:
        yield gateway


def authorized(name: str, **headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name]}", **headers}


def usage(output: int) -> dict[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": output, "total_tokens": 10 + output}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("key", "header", "counted"),
    [
        ("team-a", None, "default"),
        ("team-a", "search", "search"),
        ("team-a", "support", "support"),
        ("team-b", None, "support"),
        ("team-b", "search", "search"),
        ("team-b", "default", "default"),
        ("team-b", "unknown", "support"),
        ("team-a", "unknown", "default"),
        ("team-a", "a\tb" * 40, "default"),
    ],
)
def test_a_request_is_counted_in_the_workload_that_the_answer_names(
    gateway: Gateway, key: str, header: str | None, counted: str, stream: bool
) -> None:
    more = {} if header is None else {"x-breakeven-workload": header}
    response = gateway.post(chat(stream=stream), authorized(key, **more))
    assert response.status == 200
    assert response.headers["x-breakeven-workload"] == counted
    assert gateway.record(response)["workload"] == counted
    assert "x-breakeven-workload" not in gateway.student.last.headers


def test_a_name_that_the_config_does_not_have_is_counted_and_said_once(tmp_path: Path) -> None:
    config = configured(**{"team-b": {"workload": "support"}})
    with running(tmp_path, config, log_level="info") as fresh:
        for header in ("suport", "suport", "two words", "search"):
            fresh.post(chat(), authorized("team-a", **{"x-breakeven-workload": header}))
        fresh.post(chat(), authorized("team-a"))
        assert fresh.metric("unknown_workload_total") == 3
        said = [line for line in fresh.log.read_text().splitlines() if "which the config does not have" in line]
        assert len(said) == 2
        assert "workload suport: clients name this workload" in said[0]
        assert "two words" not in fresh.log.read_text()

        def hint() -> str | None:
            lines = breakeven(fresh, "status").stdout.splitlines()
            return next((line for line in lines if line.startswith("unknown workloads:")), None)

        assert "clients name (not a name), suport, which" in eventually(hint, seconds=30.0)
        fresh.write_config({"workloads": ["search", "suport"]})
        assert "clients name (not a name), which" in (hint() or "")
        assert json.loads(breakeven(fresh, "status", "--json").stdout)["unknown_workloads"] == ["(not a name)"]


def test_of_many_unknown_names_only_some_are_said(tmp_path: Path) -> None:
    with running(tmp_path, log_level="info") as fresh:
        for number in range(40):
            fresh.post(chat(), {"x-breakeven-workload": f"w{number}"})
        assert fresh.metric("unknown_workload_total") == 40
        assert fresh.log.read_text().count("which the config does not have") == 20
        stored = "SELECT count(*) FROM road_events WHERE stage = 'unknown'"
        eventually(lambda: fresh.rows(stored) == [(20,)], seconds=10.0)


def test_savings_by_workload_and_key_add_up_to_the_headline(tmp_path: Path) -> None:
    config = configured(**{"team-b": {"workload": "support"}})
    with running(tmp_path, config, environment={"BREAKEVEN_ADMIN_KEY": ADMIN}) as fresh:
        compare(fresh)
        found = json.loads(fresh.get("/admin/report", {"authorization": f"Bearer {ADMIN}"}).body)
        samples = fresh.metrics()
    check(found, samples)


def compare(fresh: Gateway) -> None:
    """Sixty requests of each workload, of which the student answers all with 300 tokens, and all are compared."""
    fresh.student.default(*answer(completion("same", usage(300))))
    fresh.teacher.on("search", *answer(completion("same", usage(30))))
    fresh.teacher.on("support", *answer(completion("same", usage(150))))
    for number in range(60):
        fresh.post(chat(f"search {number}"), authorized("team-a", **{"x-breakeven-workload": "search"}))
        fresh.post(chat(f"support {number}"), authorized("team-b"))
        # One comparison at a time, so that none is dropped.
        eventually(lambda count=2 * number + 2: fresh.metric("compared_pairs") >= count or None)


def check(found: dict[str, Any], samples: dict[str, float]) -> None:
    # 60 times 10 prompt tokens at 10 USD and the teacher's own answers at 20 USD a million.
    expected = {"search": 60 * (100 + 600), "support": 60 * (100 + 3000)}
    shares = {one["workload"]: one for one in found["by_workload"]}
    assert {name: round(float(shares[name]["baseline_usd"]) * 1e6) for name in expected} == expected
    assert {one["key"] for one in found["by_key"]} == {"team-a", "team-b", "(shadow)"}
    for parts in (found["by_workload"], found["by_key"]):
        for name in ("baseline_usd", "savings_usd", "teacher_spend_usd", "hosting_usd"):
            assert sum(float(one[name]) for one in parts) == pytest.approx(float(found[name]), abs=1e-9)
    for name, one in shares.items():
        for end in ("", "_lower", "_upper"):
            sample = f'breakeven_savings_by_workload_usd{end}{{workload="{name}"}}'
            assert samples[sample] == pytest.approx(float(one[f"savings_usd{end}"]), abs=1e-9)
    assert samples['breakeven_savings_by_key_usd{key="team-b"}'] == pytest.approx(
        float(next(one["savings_usd"] for one in found["by_key"] if one["key"] == "team-b")), abs=1e-9
    )


def test_a_workload_of_the_config_has_a_plain_name(tmp_path: Path) -> None:
    for config, said in (
        ({"workloads": ["two words"]}, "workloads[0]"),
        ({"workloads": [f"w{number}" for number in range(65)]}, "workloads"),
        (configured(**{"team-a": {"workload": "ü"}}), "auth.keys[0].workload"),
    ):
        with pytest.raises(AssertionError, match="did not start"), running(tmp_path, config):
            pass
        assert said in (tmp_path / "gateway.log").read_text()
