"""`breakeven report` as a subprocess: groups, CSV, JSON, tables and the chart."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import yaml
from prometheus_client import generate_latest

from breakeven.gateway.accounting.prices import FREE, Cost
from breakeven.gateway.accounting.record import AttemptRecord, Endpoint, Outcome, Pair, RequestRecord
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.api.report_schemas import Report
from breakeven.gateway.config.load import load_config
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.statements import read
from breakeven.gateway.observability.money import MoneyCollector
from breakeven.gateway.reports.report import books_to_dict
from breakeven.router.policy import Reason, Route
from tests.support.processes import BREAKEVEN, samples

USD = 10**12
HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = time.time_ns() // 1000
START = (NOW // DAY - 5) * DAY


def record(index: int, at: int) -> RequestRecord:
    """A request. Every fifth is answered by the teacher for 2 USD. The others are answered by the student, whose tokens
    are worth 4 USD at the teacher's prices: 1 for the prompt, and 3 for the answer.
    """
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
        artifact="0" * 12, outcome=Outcome.OK, status=200, attempts=(attempt,),
        baseline=2 * USD if teacher else 4 * USD, baseline_input=0 if teacher else USD,
        baseline_output=0 if teacher else 3 * USD, router_seconds=0.001, overhead_seconds=0.001, seconds=0.2,
    )  # fmt: skip


def compare(ledger: Ledger, count: int) -> None:
    """Free comparisons on the first day, in which the teacher's prompt costs the same and its answer a third: 2 USD."""
    for index in range(count):
        pair = Pair(
            f"{index:032x}", START + 2, None, None, "0" * 12, 1.0, 1.0, 300, 100, 10.0, USD, 3 * USD, USD, USD,
            "team-a" if index % 2 else "",
        )  # fmt: skip
        one = record(5, START + 2)
        changes = {"id": f"shadow-{index}", "reason": Reason.SHADOW, "attempts": (), "baseline": 0, "pair": pair}
        ledger.settle(msgspec.structs.replace(one, **changes))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with five whole days of 20 requests; hosting is 1 USD an hour, the investment 500 USD."""
    return filled(tmp_path_factory.mktemp("report"), 60)


@pytest.fixture(scope="module")
def unmeasured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same ledger with too few comparisons."""
    return filled(tmp_path_factory.mktemp("unmeasured"), 49)


def filled(folder: Path, compared: int) -> Path:
    path = folder / "breakeven.yaml"
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
    compare(ledger, compared)
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
    money = ("cost_usd", "baseline_usd", "baseline_upper_bound_usd")
    assert {(row["requests"], *(Decimal(row[name]) for name in money)) for row in rows} == {("20", 8, 40, 72)}


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
    assert [Decimal(made[f"{name}_upper_bound_usd"]) for name in ("baseline", "savings")] == [144, 80]
    # The payback ratio is that of the whole history until the end of the period: 3 days of 40 - 8 - 24.
    assert made["payback_ratio"] == pytest.approx(24 / 500)


def test_the_projection_of_a_steady_pace(config: Path) -> None:
    made = json.loads(report(config, "--json").stdout)
    projection = made["projection"]
    assert projection["days"] == 5
    assert Decimal(projection["savings_usd_per_day"]) == 8
    assert made["payback_at"] == projection["early"] == projection["expected"] == projection["late"]


def test_report_metrics_and_admin_have_the_same_figures(config: Path) -> None:
    made = json.loads(report(config, "--json").stdout)
    settings = load_config(config)
    ledger = Ledger.open(settings.ledger.url, journal=config.parent / "reader")
    try:
        now = int(datetime.fromisoformat(made["until"]).timestamp() * 1e6)
        answered = Report.model_validate(books_to_dict(read(ledger, now)))
        found = samples(generate_latest(_Only(MoneyCollector(ledger, lambda: now))).decode())
    finally:
        ledger.close()
    # The command read the clock a little later than the second that it shows.
    second = Decimal("0.0003")
    for name in ("savings_usd", "baseline_usd"):
        for end in ("", "_lower", "_upper"):
            shown = Decimal(made[name + end])
            assert abs(Decimal(str(getattr(answered, name + end))) - shown) <= second
            assert abs(Decimal(found[f"breakeven_{name}{end}"]) - shown) <= second
    assert Decimal(made["baseline_usd"]) == 200
    assert found["breakeven_baseline_usd_total"] == 360
    assert "breakeven_savings_upper_bound_usd" not in found
    assert (found["breakeven_compared_pairs"], found["breakeven_compared_pairs_needed"]) == (60, 0)
    expected = datetime.fromisoformat(made["payback_at"]).timestamp()
    assert abs(found["breakeven_payback_timestamp_seconds"] - expected) <= 60
    assert made["curve"][-1]["savings_usd"] == made["savings_usd"]


class _Only:
    """A registry of one collector."""

    def __init__(self, collector: MoneyCollector) -> None:
        self.collect = collector.collect


def test_before_enough_comparisons_nothing_is_called_savings(unmeasured: Path, tmp_path: Path) -> None:
    made = json.loads(report(unmeasured, "--json", "--by", "key").stdout)
    for name in ("savings_usd", "baseline_usd"):
        assert [made[name + end] for end in ("", "_lower", "_upper")] == [None] * 3
    assert (made["payback_ratio"], made["payback_at"], made["projection"], made["curve"]) == (None, None, None, [])
    assert (made["compared_pairs"], made["compared_pairs_needed"]) == (49, 1)
    assert Decimal(made["baseline_upper_bound_usd"]) == 360
    assert {row["baseline_usd"] for row in made["groups"]} == {None}
    said = report(unmeasured).stdout
    assert "savings" in said
    assert "at most $" in said
    assert "answer length not measured yet, 1 more comparisons" in said
    assert "road: {sample: " in said
    assert "break-even: no date while savings are not measured" in said
    for option in (("--chart",), ("--png", str(tmp_path / "chart.png"))):
        done = report(unmeasured, *option)
        assert (done.returncode, done.stdout) == (2, "")
        assert "savings are not measured yet" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_date_is_said_once(config: Path) -> None:
    said = report(config).stdout
    assert said.count("break-even") == 1
    assert "projection" not in said.lower()


def test_tables_and_charts(config: Path, tmp_path: Path) -> None:
    png = tmp_path / "chart.png"
    done = report(config, "--by", "day", "--chart", "--png", str(png))
    assert (done.returncode, done.stderr) == (0, "")
    assert "at the pace of the last 5 days, $8.00 a day" in done.stdout
    assert "break-even: expected" in done.stdout
    assert "from 60 comparisons" in done.stdout
    assert "$500.00 invested" in done.stdout
    assert png.read_bytes().startswith(b"\x89PNG")
    assert day(4) in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "prompt"), "--by: cannot group by prompt"),
        (("--by", "day,day"), "--by: names the same twice"),
        (("--by", "day,hour"), "--by: choose day or hour"),
        (("--since", "soon"), "--since: neither a date nor how long ago"),
        (("--since", "2999-01-01"), "--since is in the future, of which nothing is recorded"),
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
