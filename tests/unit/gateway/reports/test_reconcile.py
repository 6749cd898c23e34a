"""`breakeven reconcile`: a scripted provider's month against the ledger, to the cent, and every cause by its name."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from breakeven.gateway.accounting.estimates import Estimate
from breakeven.gateway.accounting.prices import cost, price
from breakeven.gateway.accounting.record import AttemptRecord, Endpoint, Outcome, RequestRecord
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.config.load import load_config
from breakeven.gateway.economics.totals import Sum
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.reports.bills.base import BillRow
from breakeven.gateway.reports.reconcile import Kind, reconcile, same_model
from breakeven.router.policy import Reason, Route
from tests.support.processes import BREAKEVEN

FIRST = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
DAY = 86_400
MODEL = "gpt-4o"
PRICE = price(Decimal("2.50"), Decimal("1.25"), Decimal(10))
# Prompt, cached and output tokens of one request of the script; 4.375 USD.
REQUEST = (1_000_000, 300_000, 225_000)
A_DAY = 8
NO_USAGE = Usage(0, 0, 0, False)


def record(index: int, day: int, usage: Usage, *, shadow: bool = False, **changes: object) -> RequestRecord:
    attempt = AttemptRecord(
        Route.TEACHER, Outcome.OK, 200, usage, cost(usage, PRICE), 0.1, 0.2, **changes  # type: ignore[arg-type]
    )  # fmt: skip
    return RequestRecord(
        id=f"{index:032x}", request_id=f"r{index}", at=(FIRST + day * DAY + 60 + index) * 10**6,
        endpoint=Endpoint.CHAT_COMPLETIONS, key=None, stream=False, route=Route.TEACHER,
        reason=Reason.SHADOW if shadow else Reason.DIFFICULT, pinned=False, score=0.5, threshold=0.5, novelty=None,
        artifact="0" * 12, outcome=Outcome.OK, status=200, attempts=(attempt,),
        baseline=0, router_seconds=0.001, overhead_seconds=0.001, seconds=0.2,
    )  # fmt: skip


CUT, FLEX, BYPASS, ABSENT, ELSEWHERE = 4, 9, 14, 19, 24


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of November: eight requests a day, one of them shadow traffic, and one cut stream; one day was lost."""
    path = tmp_path_factory.mktemp("reconcile") / "breakeven.yaml"
    document = {
        "student": {"base_url": "http://127.0.0.1:1/v1", "model": "small"},
        "teacher": {
            "base_url": "http://127.0.0.1:2/v1",
            "model": MODEL,
            "usd_per_million": {"input": 2.5, "cached_input": 1.25, "output": 10},
        },
    }
    path.write_text(yaml.safe_dump(document))
    settings = load_config(path)
    assert settings.ledger.journal is not None
    ledger = Ledger.open(settings.ledger.url, journal=Path(settings.ledger.journal), config=settings)
    for day in range(30):
        for one in range(A_DAY if day != ELSEWHERE else 0):
            usage = Usage(*REQUEST, True)
            if day == CUT and one == 0:
                # A million and 200,000 tokens were estimated for it: 4.50 USD.
                missing = {"usage_missing": True, "estimated": Estimate(10**6, 200_000), "cost_estimated": 45 * 10**11}
                ledger.settle(record(day * 100, day, NO_USAGE, **missing))
            else:
                ledger.settle(record(day * 100 + one, day, usage, shadow=one == 1))
    assert ledger.flush(20)
    ledger.close()
    return path


def provider(folder: Path) -> tuple[Path, Path]:
    """Exports of usage and cost, by the provider's own arithmetic. The cut stream had 180,000 output tokens."""
    usage, costs = [], []
    for day in range(30):
        requests = A_DAY + (3 if day == BYPASS else 0)
        prompt, cached, output = (tokens * requests for tokens in REQUEST)
        if day == CUT:
            cached, output = cached - 300_000, output - 225_000 + 180_000
        usd = (Decimal("2.5") * (prompt - cached) + Decimal("1.25") * cached + 10 * output) / 10**6
        if day == FLEX:
            usd /= 2
        start = {"object": "bucket", "start_time": FIRST + day * DAY, "end_time": FIRST + (day + 1) * DAY}
        counts = {"input_tokens": prompt, "input_cached_tokens": cached, "output_tokens": output}
        result = {"model": "gpt-4o-2024-08-06", "num_model_requests": requests, **counts}
        amounts = [{"amount": {"value": float(usd), "currency": "usd"}, "line_item": "gpt-4o-2024-08-06, output"}]
        if day == 2:
            amounts.append({"amount": {"value": 1.5, "currency": "usd"}, "line_item": "o3-mini-2025-01-31, input"})
        kept = day != ABSENT
        usage.append({**start, "results": [result] if kept else []})
        costs.append({**start, "results": amounts if kept else []})
    paths = folder / "usage.json", folder / "costs.json"
    for path, data in zip(paths, (usage, costs), strict=True):
        path.write_text(json.dumps({"object": "page", "data": data, "has_more": False, "next_page": None}))
    return paths


def run(config: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*BREAKEVEN, "reconcile", *map(str, arguments), "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_month_is_reconciled_to_the_cent(config: Path, tmp_path: Path) -> None:
    done = run(config, *provider(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    differing = {line["day"]: line for line in found["days"] if line["causes"]}
    causes = {
        day: [(one["kind"], Decimal(one["usd"]), one["ratio"]) for one in line["causes"]]
        for day, line in differing.items()
    }
    one = Decimal("4.375")
    assert causes == {
        # A million prompt tokens and 180,000 of the answer.
        "2026-11-05": [("estimated", Decimal("4.30"), None)],
        "2026-11-10": [("prices", -4 * one, 0.5)],
        "2026-11-15": [("bypass", 3 * one, None)],
        "2026-11-20": [("not_in_bill", -8 * one, None)],
        "2026-11-25": [("not_in_ledger", 8 * one, None)],
    }
    for line in found["days"]:
        assert Decimal(line["difference_usd"]) == sum(Decimal(cause["usd"]) for cause in line["causes"])
    assert len(found["days"]) == 30
    assert Decimal(found["total"]["difference_usd"]) == Decimal("4.30") - one
    assert [(row["model"], row["cost_usd"]) for row in found["not_served"]] == [
        ("o3-mini-2025-01-31", "1.500000000000")
    ]
    cut = differing["2026-11-05"]["ledger"]
    assert (cut["usage_missing"], Decimal(cut["estimated_cost_usd"])) == (1, Decimal("4.50"))


def test_the_table_names_the_causes(config: Path, tmp_path: Path) -> None:
    said = run(config, *provider(tmp_path)).stdout
    for words in (
        "$4.30 usage never reported, such as cut streams",
        "-$17.50 another price or service tier than in the config, 0.500 times",
        "$13.12 traffic that bypasses the gateway",
        "-$35.00 in the ledger, not on the bill",
        "$35.00 on the bill, not in the ledger",
    ):
        assert words in " ".join(said.replace("│", " ").split())
    assert "not served by this gateway: o3-mini-2025-01-31, $1.50 on the bill" in said


def test_a_period(config: Path, tmp_path: Path) -> None:
    found = json.loads(
        run(config, *provider(tmp_path), "--json", "--since", "2026-11-06", "--until", "2026-11-10").stdout
    )
    assert ([line["day"][-2:] for line in found["days"]], found["total"]["causes"]) == (["06", "07", "08", "09"], [])
    refused = run(config, *provider(tmp_path), "--since", "2026-11-06T05:00:00Z")
    assert (refused.returncode, refused.stderr) == (
        2, "breakeven: --since: bills are by day in UTC; write a date such as 2026-11-01\n",
    )  # fmt: skip


def test_a_bad_bill_is_one_line(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "bill.json"
    path.write_text('{"data": [{"start_time": 1793491200, "results": [{"input_tokens": -1}]}]}')
    done = run(config, path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"breakeven: {path}: page 1, data[0], results[0]: input_tokens: '-1' is not a whole number of 0 or more\n"
    )


def test_the_same_file_twice_is_refused(config: Path, tmp_path: Path) -> None:
    usage, _ = provider(tmp_path)
    assert run(config, usage, usage).stderr == "breakeven: the same bill is given twice, and would count twice\n"


def ledger_day(**changes: int) -> Sum:
    of_day: dict[str, int] = {"attempts": 10, "input_tokens": 1000, "output_tokens": 100}
    return Sum((5, "teacher"), **of_day | {"cost_input": 1000 * 10**9, "cost_output": 100 * 10**10} | changes)


def causes(row: BillRow, one: Sum) -> list[tuple[Kind, int]]:
    found = reconcile([row], [one], MODEL)
    assert row.cost is None or found.lines[0].difference == sum(cause.amount for cause in found.causes)
    return [(cause.kind, cause.amount) for cause in found.lines[0].causes]


def test_a_bill_of_costs_only_cannot_tell_traffic_from_prices() -> None:
    row = BillRow(5, "", cost=3 * 10**12)
    assert causes(row, ledger_day()) == [(Kind.UNEXPLAINED, 10**12)]
    cut = ledger_day(usage_missing=1, cost_estimated=4 * 10**11)
    assert causes(row, cut) == [(Kind.ESTIMATED, 4 * 10**11), (Kind.UNEXPLAINED, 6 * 10**11)]


def test_traffic_and_price_on_one_day_are_told_apart() -> None:
    row = BillRow(5, MODEL, 20, 2000, None, 200, 8 * 10**12)
    assert causes(row, ledger_day()) == [(Kind.BYPASS, 2 * 10**12), (Kind.PRICES, 4 * 10**12)]


def test_cut_streams_and_bypass_on_one_day_are_told_apart() -> None:
    row = BillRow(5, MODEL, 20, 2000, None, 200, 4 * 10**12)
    cut = ledger_day(usage_missing=1, cost_estimated=10**11)
    assert causes(row, cut) == [(Kind.ESTIMATED, 10**11), (Kind.BYPASS, 19 * 10**11)]


@pytest.mark.parametrize(
    ("estimated", "expected"),
    [
        (14 * 10**10, [(Kind.ESTIMATED, 2 * 10**11)]),
        (10**11, [(Kind.ESTIMATED, 10**11), (Kind.BYPASS, 10**11)]),
    ],
)
def test_without_request_counts_an_estimate_may_be_short_by_half(
    estimated: int, expected: list[tuple[Kind, int]]
) -> None:
    row = BillRow(5, MODEL, None, 1100, None, 110, 2_200_000_000_000)
    assert causes(row, ledger_day(usage_missing=1, cost_estimated=estimated)) == expected


def test_other_counts_for_the_same_requests() -> None:
    row = BillRow(5, MODEL, 10, 1100, None, 100, 2_100_000_000_000)
    assert causes(row, ledger_day()) == [(Kind.TOKENS, 10**11)]


def test_below_half_a_cent_it_is_rounding() -> None:
    row = BillRow(5, MODEL, 10, 1000, None, 100, 2_004_000_000_000)
    assert causes(row, ledger_day()) == [(Kind.ROUNDING, 4 * 10**9)]


def test_a_bill_without_cost_prices_tokens_by_the_ledger() -> None:
    assert causes(BillRow(5, MODEL, 11, 1100, None, 110), ledger_day()) == [(Kind.BYPASS, 2 * 10**11)]


def test_another_name_for_the_model_and_none_at_all() -> None:
    rows = [BillRow(5, "deployment-a", 10, 1000, None, 100, 2 * 10**12)]
    found = reconcile(rows, [ledger_day()], MODEL)
    assert ([one.model for one in found.not_served], found.on_bill) == (["deployment-a"], None)
    assert [cause.kind for cause in found.causes] == [Kind.NOT_IN_BILL]
    known = reconcile(rows, [ledger_day()], MODEL, aliases=["deployment-a"])
    assert (known.causes, known.not_served, known.unnamed) == ([], [], False)
    assert reconcile([BillRow(5, "", cost=2 * 10**12)], [ledger_day()], MODEL).unnamed


def test_failed_attempts_are_no_difference() -> None:
    failed = Sum((6, "teacher"), attempts=3)
    assert reconcile([BillRow(5, MODEL, cost=2 * 10**12)], [ledger_day(), failed], MODEL, until=8).causes == []


@pytest.mark.parametrize(
    ("billed", "name", "same"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o", True),
        ("gpt-4o-mini", "gpt-4o", False),
        ("openai/gpt-4o", "gpt-4o", True),
        ("Claude Sonnet 4.5", "claude-sonnet-4-5-20250929", True),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", False),
    ],
)
def test_names_of_a_model(billed: str, name: str, same: bool) -> None:
    assert same_model(billed, name) is same
