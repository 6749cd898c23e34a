"""`breakeven report` as a subprocess: groups, CSV, JSON, tables and the chart."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import time
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from breakeven.gateway.accounting.prices import FREE, Cost
from breakeven.gateway.accounting.record import AttemptRecord, Endpoint, Outcome, RequestRecord
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.config.load import load_config
from breakeven.gateway.ledger import Ledger
from breakeven.router.policy import Reason, Route
from tests.support.processes import BREAKEVEN

USD = 10**12
HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = time.time_ns() // 1000
START = (NOW // DAY - 5) * DAY


def record(index: int, at: int) -> RequestRecord:
    """A request; every fifth is answered by the teacher for 2 USD, which is also the baseline of each."""
    teacher = index % 5 == 0
    attempt = AttemptRecord(
        Route.TEACHER if teacher else Route.STUDENT,
        Outcome.OK,
        200,
        Usage(1000, 0, 100, True),
        Cost(USD, 0, USD) if teacher else FREE,
        0.1,
        0.2,
    )
    return RequestRecord(
        id=f"{index:032x}", request_id=f"r{index}", at=at, endpoint=Endpoint.CHAT_COMPLETIONS,
        key="team-a" if index % 2 else None, stream=False, route=attempt.upstream,
        reason=Reason.DIFFICULT if teacher else Reason.EASY, pinned=False, score=0.5, threshold=0.5, novelty=None,
        artifact="0" * 12, outcome=Outcome.OK, status=200, attempts=(attempt,), baseline=2 * USD,
        router_seconds=0.001, overhead_seconds=0.001, seconds=0.2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with five whole days of 20 requests; hosting is 1 USD an hour, the investment 500 USD."""
    path = tmp_path_factory.mktemp("report") / "breakeven.yaml"
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START // 10**6))
    document = {
        "student": {"base_url": "http://127.0.0.1:1/v1", "model": "small", "hosting_usd_per_hour": 1},
        "teacher": {
            "base_url": "http://127.0.0.1:2/v1",
            "model": "big",
            "usd_per_million": {"input": 15, "output": 60},
        },
        "economics": {"investment_usd": 500, "hosting_since": since},
    }
    path.write_text(yaml.safe_dump(document))
    settings = load_config(path)
    assert settings.ledger.journal is not None
    ledger = Ledger.open(settings.ledger.url, journal=Path(settings.ledger.journal), config=settings)
    for index in range(100):
        ledger.settle(record(index, START + index * DAY // 20 + 1))
    assert ledger.flush(20)
    ledger.close()
    return path


def report(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*BREAKEVEN, "report", "--config", str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def day(index: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime((START + index * DAY) // 10**6))


def test_by_day_as_csv(config: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(report(config, "--csv").stdout)))
    assert [row["day"] for row in rows] == [day(index) for index in range(5)]
    assert {(row["requests"], Decimal(row["cost_usd"]), Decimal(row["baseline_usd"])) for row in rows} == {
        ("20", 8, 40)
    }


def test_by_two_keys(config: Path) -> None:
    made = json.loads(report(config, "--json", "--by", "key,reason").stdout)
    groups = {(row["key"], row["reason"]): row["requests"] for row in made["groups"]}
    assert groups == {("-", "difficult"): 10, ("-", "easy"): 40, ("team-a", "difficult"): 10, ("team-a", "easy"): 40}


def test_a_period(config: Path) -> None:
    made = json.loads(report(config, "--json", "--since", day(1), "--until", day(3)).stdout)
    assert made["requests"] == 40
    assert [Decimal(made[f"{name}_usd"]) for name in ("baseline", "teacher_spend", "hosting", "savings")] == [
        80, 16, 48, 16,
    ]  # fmt: skip
    # The payback ratio is that of the whole history until the end of the period: 3 days of 40 - 8 - 24.
    assert made["payback_ratio"] == pytest.approx(24 / 500)


def test_the_projection_of_a_steady_pace(config: Path) -> None:
    made = json.loads(report(config, "--json").stdout)
    projection = made["projection"]
    assert projection["days"] == 5
    assert Decimal(projection["savings_usd_per_day"]) == 8
    assert projection["early"] == projection["expected"] == projection["late"]
    assert made["payback_at"] is not None


def test_tables_and_charts(config: Path, tmp_path: Path) -> None:
    png = tmp_path / "chart.png"
    done = report(config, "--by", "day", "--chart", "--png", str(png))
    assert (done.returncode, done.stderr) == (0, "")
    assert "At the pace of the last 5 days ($8.00 a day) break-even is expected" in done.stdout
    assert "$500.00 invested" in done.stdout
    assert png.read_bytes().startswith(b"\x89PNG")
    assert day(4) in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "prompt"), "--by: cannot group by prompt"),
        (("--by", "day,day"), "--by: names the same twice"),
        (("--by", "day,hour"), "--by: choose day or hour"),
        (("--since", "soon"), "--since: not a date"),
        (("--since", "2026-02-01", "--until", "2026-01-01"), "--since must be before --until"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(config: Path, arguments: tuple[str, ...], message: str) -> None:
    done = report(config, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_ledger_is_an_error_and_is_not_created(config: Path, tmp_path: Path) -> None:
    (tmp_path / "breakeven.yaml").write_text(config.read_text())
    done = report(tmp_path / "breakeven.yaml")
    assert done.returncode == 2
    assert f"there is no ledger at {tmp_path / 'breakeven.db'} yet; `breakeven serve` makes it" in done.stderr
    assert not list(tmp_path.glob("*.db*"))
