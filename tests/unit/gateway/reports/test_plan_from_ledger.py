"""`breakeven plan --from-ledger` as a subprocess, on a ledger of known traffic."""

from __future__ import annotations

import json
import subprocess
import time
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import yaml

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.config.load import load_config
from breakeven.gateway.ledger import Ledger, monthly
from breakeven.router.policy import Reason, Route
from tests.support.processes import BREAKEVEN
from tests.unit.gateway.ledger.records import record

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = time.time_ns() // 1000
# Two and a half days of an hour's raster: the plan takes the last two whole days.
FIRST = (NOW // HOUR - 60) * HOUR


def traffic() -> list[RequestRecord]:
    """One request in each of 60 hours: 1,000 prompt tokens, 400 of them cached, and 100 completion tokens.

    Every second one is of team-a, every third is pinned, every fourth is answered by the student. What does not count:
    a probe of the student's before a teacher's answer, shadow traffic, and a further model.
    """
    found = []
    for hour in range(60):
        one = record(
            at=FIRST + hour * HOUR + 1,
            route=Route.STUDENT if hour % 4 == 0 else Route.TEACHER,
            pinned=hour % 3 == 0,
            prompt=1000,
            cached=400,
            output=100,
            key="team-a" if hour % 2 else None,
        )
        if hour == 59:
            probe = msgspec.structs.replace(one.attempts[0], upstream=Route.STUDENT)
            one = msgspec.structs.replace(one, attempts=(probe, *one.attempts))
        found.append(one)
    shadow = record(at=FIRST + 58 * HOUR + 1, prompt=10**6, output=10**6, reason=Reason.SHADOW)
    further = record(at=FIRST + 58 * HOUR + 1, prompt=10**6, route=Route.MODEL, pinned=True, provider="embed")
    return [*found, shadow, further]


def filled(folder: Path, records: list[RequestRecord], prompts: list[str]) -> Path:
    path = folder / "breakeven.yaml"
    prices = {"input": 15, "cached_input": "1.5", "output": 60}
    student = {"base_url": "http://127.0.0.1:1/v1", "model": "small", "hosting_usd_per_hour": 1, "hosting_replicas": 2}
    teacher = {"base_url": "http://127.0.0.1:2/v1", "model": "big", "usd_per_million": prices}
    path.write_text(yaml.safe_dump({"student": student, "teacher": teacher}))
    settings = load_config(path)
    ledger = Ledger.open(settings.ledger.url, journal=folder / "writer")
    for one in records:
        ledger.settle(one)
    assert ledger.flush(20)
    ledger.store_prompts([(str(index), FIRST + 50 * HOUR + index, text) for index, text in enumerate(prompts)])
    ledger.close()
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("plan"), traffic(), ["a", "b", "a", "a", "c"])


def iso(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // 10**6))


def plan(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The hour may end while the test runs; of two --until the second holds.
    until = ("--until", iso(FIRST + 60 * HOUR))
    command = [*BREAKEVEN, "plan", "--from-ledger", "--config", str(config), *until, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_tokens_are_scaled_to_a_month(config: Path) -> None:
    made = json.loads(plan(config, "--json").stdout)
    found = made["from_ledger"]
    assert (found["days"], found["requests"]) == (2, 48)
    # 730 hours of one request each.
    assert found["per_month"] == {
        "requests": 730,
        "input_tokens": 730_000,
        "cached_tokens": 292_000,
        "cache_write_tokens": 0,
        "output_tokens": 73_000,
    }
    assert {key: one["requests"] for key, one in found["per_month_by_key"].items()} == {"-": 365, "team-a": 365}
    assert made["tokens_per_month"] == 803_000
    alone = Decimal(438_000 * 15 + 73_000 * 60) / 10**6 + Decimal("1.5") * 292_000 / 10**6
    assert Decimal(made["teacher_alone_usd_per_month"]) == alone
    # Two replicas at 1 USD an hour.
    assert Decimal(made["student_usd_per_month"]) == 1460


def test_what_was_taken_from_where(config: Path) -> None:
    done = plan(config, "--output-tokens", "1M", "--hosting-usd-per-hour", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "from the ledger: 48 requests in 2 whole days, " in done.stdout
    assert "730,000 input tokens, 292,000 of them cached, and 73,000 output tokens" in done.stdout
    assert "from the config: --input-usd 15, --cached-usd 1.5, --output-usd 60, --replicas 2\n" in done.stdout
    assert "from the command line: --output-tokens 1M, --hosting-usd-per-hour 0\n" in done.stdout
    assert "repeated prompts: 40.0% of 5 stored prompts are equal to an earlier one" in done.stdout
    assert "team-a" in done.stdout
    assert "1,730,000" in done.stdout
    assert "Distilling pays" in done.stdout


def test_from_which_share_a_student_pays(config: Path) -> None:
    """The teacher alone costs 6.57 + 4.38 + 0.438 USD a month, two replicas at 1 USD an hour much more."""
    made = json.loads(plan(config, "--json").stdout)
    assert made["from_ledger"]["least_student_share"] == {"at_all": None, "in_a_year": None}
    assert made["from_ledger"]["common_share"] is None
    # 11.388 USD a month: hosting of 3.65 is earned with 33% of it; 40 more in a year with 62%.
    options = ("--hosting-usd-per-hour", "0.0025", "--investment-usd", "40")
    done = plan(config, *options)
    assert "A student pays from 33% of the tokens on; it is paid back within 12 months from 62%." in done.stdout
    found = json.loads(plan(config, *options, "--json").stdout)["from_ledger"]
    assert found["least_student_share"] == {"at_all": 0.33, "in_a_year": 0.62}
    assert "it takes 300 stored prompts in the period (ledger.store_prompts: true), and there are 5." in done.stdout
    # 1,000 prompt tokens and 100 of the answer, uncached.
    assert found["example_usd"] == "0.021000000000"
    assert "the teacher's answers to 1,000 more prompts like these cost $21.00;" in done.stdout
    examples = json.loads(plan(config, "--examples", "100", "--json").stdout)
    assert examples["one_time_usd"]["data, 100 examples"] == ["2.100000000000"] * 2


def test_what_is_common(tmp_path: Path) -> None:
    words = ["alder", "beech", "cedar", "elm", "fir", "gum", "hazel", "ivy", "juniper", "kapok"]
    prompts = [f"Where does the {words[n % 10]} number {n} grow best in spring?" for n in range(300)]
    path = filled(tmp_path, traffic(), prompts)
    path.write_text(path.read_text().replace("hosting_usd_per_hour: 1", "hosting_usd_per_hour: 0.0001"))
    done = plan(path)
    assert "of the newest 100 prompts" in done.stdout
    assert "100.0% [96.3%, 100.0%] are like one of them." in done.stdout
    assert "If a student may answer what is alike: $11.24 saved a month, paid back after 0 months." in done.stdout
    found = json.loads(plan(path, "--json").stdout)["from_ledger"]["common_share"]
    assert (found["newest_prompts"], found["earlier_prompts"], found["alike"]["estimate"]) == (100, 200, 1.0)


def test_a_period(config: Path) -> None:
    since, until = iso(FIRST - 10 * DAY), iso(FIRST + 30 * HOUR)
    found = json.loads(plan(config, "--json", "--since", since, "--until", until).stdout)["from_ledger"]
    assert (found["since"], found["until"], found["days"]) == (iso(FIRST + 6 * HOUR), until, 1)
    assert (found["stored_prompts"], found["repeated_prompts"]) == (0, None)
    short = plan(config, "--since", iso(FIRST + 50 * HOUR))
    assert short.returncode == 2
    assert "--from-ledger: takes traffic of at least one whole day, and there are 10 hours of it" in short.stderr
    assert short.stderr.count("\n") == 1


def test_a_ledger_without_answers(tmp_path: Path) -> None:
    done = plan(filled(tmp_path, [], []))
    assert done.returncode == 2
    assert "--from-ledger: the ledger has no traffic" in done.stderr


def test_cache_writes_are_part_of_the_input(tmp_path: Path) -> None:
    one = record(at=0, prompt=1000, cached=100, output=10)
    answered = one.attempts[-1]
    usage = msgspec.structs.replace(answered.usage, cache_write=300, complete=False)
    answered = msgspec.structs.replace(answered, usage=usage)
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", journal=tmp_path / "journal")
    ledger.settle(msgspec.structs.replace(one, attempts=(answered,)))
    assert ledger.flush(20)
    found = monthly.read(ledger, DAY)
    ledger.close()
    assert found.total == monthly.Tokens(30, 30_416, 3_041, 9_125, 304)


def test_periods_are_of_the_ledger_only() -> None:
    command = [*BREAKEVEN, "plan", "--input-tokens", "1M", "--since", "2026-11-01"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--since and --until are options of --from-ledger" in done.stderr


def test_tokens_are_required_without_a_ledger() -> None:
    done = subprocess.run([*BREAKEVEN, "plan"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Missing option '--input-tokens'." in done.stderr
