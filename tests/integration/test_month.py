"""A month of traffic in simulated time through the real gateway, compared with independently computed sums.

The gateway's processes read the time from a file. Prices and replicas change on certain dates, there is no traffic on a
weekend, and the gateway is down for three hours and restarts with another hosting rate. Compared answers say that the
teacher's prompts cost 31/32 of the student's and its answers 3/4. Every figure of report, metrics and admin API must be
exact.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2
import pytest
import yaml

from breakeven.gateway.economics.baseline import PricedPair
from tests.support import processes
from tests.support.clock import Clock
from tests.support.pairs import store
from tests.support.processes import BREAKEVEN

UTC = datetime.UTC
START = datetime.datetime(2026, 11, 1, tzinfo=UTC)
END = datetime.datetime(2026, 12, 1, tzinfo=UTC)
REPLICAS = datetime.datetime(2026, 11, 10, 12, tzinfo=UTC)
CHEAPER = datetime.datetime(2026, 11, 16, tzinfo=UTC)
STOPPED = datetime.datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
RESTARTED = datetime.datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
WEEKEND = {14, 15}
KEY = "the-admin-key"

# (prompt, cached, output) tokens, large enough for a month to cost hundreds of USD.
QUESTIONS = {
    "What is one plus one?": (3_000_000, 500_000, 20_000),
    "What is two plus two?": (1_234_567, 0, 76_543),
    "What is three plus three?": (2_000_001, 2_000_000, 1),
    "What is four plus four?": (999_999, 333_333, 111_111),
}
# What the teacher charges for the same: 31/32 for a prompt, 3/4 for an answer.
PAIRS = [PricedPair("", 32_000, 40_000, 31_000, 30_000, 8.0)] * 60
MODES = ("auto@1", "auto@1", "auto@0", "auto@1", "teacher", "student")


@dataclass(frozen=True)
class Asked:
    """One request, with its time, model and token counts."""

    at: datetime.datetime
    model: str
    tokens: tuple[int, int, int]

    @property
    def teacher(self) -> bool:
        return self.model in ("auto@0", "teacher")

    @property
    def pinned(self) -> bool:
        return self.model in ("teacher", "student")

    @property
    def parts(self) -> tuple[Decimal, Decimal, Decimal]:
        """USD at the teacher's prices at that time: input, cached input, output."""
        prices = ("10", "1", "40") if self.at >= CHEAPER else ("15", "1.5", "60")
        prompt, cached, output = self.tokens
        counts = (prompt - cached, cached, output)
        return tuple(count * Decimal(p) / 10**6 for count, p in zip(counts, prices, strict=True))  # type: ignore[return-value]

    @property
    def bill(self) -> Decimal:
        """What the teacher charged, or would have charged, in USD."""
        first, cached, output = self.parts
        if self.teacher:
            return first + cached + output
        return (first + cached) * 31 / 32 + output * 3 / 4


def month() -> Iterator[Asked]:
    questions = list(QUESTIONS.values())
    number = 0
    for day in range(1, 31):
        if day in WEEKEND:
            continue
        for hour in range(10, 16):
            at = datetime.datetime(2026, 11, day, hour, 7 * (number % 8), number % 60, tzinfo=UTC)
            yield Asked(at, MODES[number % 6], questions[(number // 2 + day) % 4])
            number += 1


RATES = [(START, Decimal("1.2")), (REPLICAS, Decimal("2.4")), (RESTARTED, Decimal("2.05"))]


def hosting(until: datetime.datetime, since: datetime.datetime = START) -> Decimal:
    total = Decimal(0)
    for (begin, rate), (end, _) in zip(RATES, [*RATES[1:], (END, Decimal(0))], strict=True):
        seconds = (min(end, until) - max(begin, since)).total_seconds()
        total += max(Decimal(0), Decimal(seconds)) * rate / 3600
    return total


@dataclass(frozen=True)
class Results:
    """The requests of the month, and the figures that the gateway gave."""

    asked: list[Asked]
    report: dict[str, Any]
    period: dict[str, Any]
    days: list[dict[str, str]]
    metrics: dict[str, float]
    admin: dict[str, Any]


def config(student: str, teacher: str, **hosting: Any) -> dict[str, Any]:
    made = processes.make_config(
        student,
        teacher,
        economics={"investment_usd": 100, "hosting_since": START.isoformat()},
        routing={"sticky": False, "novelty_threshold": 1.0},
    )
    made["student"] |= hosting
    made["teacher"]["price_changes"] = [{"since": CHEAPER.isoformat(), "input": 10, "cached_input": 1, "output": 40}]
    return made


def send(gateway: processes.Gateway, clock: Clock, asked: list[Asked]) -> None:
    questions = {tokens: question for question, tokens in QUESTIONS.items()}
    for one in asked:
        clock.set(one.at)
        body = {"model": one.model, "messages": [{"role": "user", "content": questions[one.tokens]}]}
        answer = httpx2.post(f"{gateway.base_url}/chat/completions", json=body, timeout=20.0)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-breakeven-route"] == ("teacher" if one.teacher else "student")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    folder = tmp_path_factory.mktemp("month")
    clock = Clock(folder, START)
    env = {**clock.env, "BREAKEVEN_ADMIN_KEY": KEY}
    rows = [
        {"prompt": q, "answer": "A number.", "prompt_tokens": p, "cached_tokens": c, "output_tokens": o}
        for q, (p, c, o) in QUESTIONS.items()
    ]
    with (
        processes.replay(folder, "student", rows, "--speed", "inf") as student,
        processes.replay(folder, "teacher-model", rows, "--speed", "inf") as teacher,
    ):
        changes = [{"since": REPLICAS.isoformat(), "usd_per_hour": 1.2, "replicas": 2}]
        gateway = processes.Gateway(folder, config(student, teacher, hosting_changes=changes), env)
        gateway.start()
        asked = list(month())
        try:
            send(gateway, clock, [one for one in asked if one.at < STOPPED])
            clock.set(STOPPED)
            assert gateway.stop() == 0
            clock.set(RESTARTED)
            gateway.config.write_text(yaml.safe_dump(config(student, teacher, hosting_usd_per_hour=2.05)))
            gateway.start()
            send(gateway, clock, [one for one in asked if one.at > RESTARTED])
            clock.set(END)
            store(gateway.ledger, PAIRS, int(START.timestamp() * 1e6))
            invest = [
                *BREAKEVEN,
                "invest",
                "training",
                "50.5",
                "--at",
                "2026-11-05",
            ]
            subprocess.run(
                [*invest, "--config", str(gateway.config)], check=True, env={**os.environ, **env}, timeout=60
            )
            by_day = [*BREAKEVEN, "report", "--csv", "--config", str(gateway.config)]
            table = subprocess.run(
                by_day, check=True, env={**os.environ, **env}, capture_output=True, text=True, timeout=60
            ).stdout
            headers = {"authorization": f"Bearer {KEY}"}
            yield Results(
                asked,
                gateway.report(),
                gateway.report("--since", "2026-11-09T10:30:00Z", "--until", "2026-11-17"),
                list(csv.DictReader(io.StringIO(table))),
                gateway.metrics(),
                httpx2.get(f"{gateway.url}/admin/report", headers=headers, timeout=20.0).json(),
            )
        finally:
            gateway.stop()


def expected(asked: list[Asked], since: datetime.datetime, until: datetime.datetime) -> dict[str, Decimal]:
    """The figures of a period, by summing over the requests."""
    inside = [one for one in asked if since <= one.at < until]
    routed = [one for one in inside if not one.pinned]
    spend = sum((sum(one.parts) for one in routed if one.teacher), Decimal(0))
    baseline = sum((one.bill for one in routed), Decimal(0))
    bound = sum((sum(one.parts) for one in routed), Decimal(0))
    accrued = hosting(until, since)
    return {
        **{f"baseline_usd{end}": baseline for end in ("", "_lower", "_upper")},
        "baseline_upper_bound_usd": bound,
        "teacher_spend_usd": spend,
        "pinned_spend_usd": sum((sum(one.parts) for one in inside if one.pinned and one.teacher), Decimal(0)),
        "hosting_usd": accrued,
        **{f"savings_usd{end}": baseline - spend - accrued for end in ("", "_lower", "_upper")},
        "savings_upper_bound_usd": bound - spend - accrued,
        "investment_usd": Decimal("150.5"),
    }


def reached(asked: list[Asked], investment: Decimal) -> datetime.datetime:
    """The end of the first hour in which estimated savings reached the investment."""
    end = START
    while end < END:
        end += datetime.timedelta(hours=1)
        if expected(asked, START, end)["savings_usd"] >= investment:
            return end
    raise AssertionError("never")


def test_the_report_is_exact(results: Results) -> None:
    for report, since, until in (
        (results.report, START, END),
        (results.admin, START, END),
        (
            results.period,
            datetime.datetime(2026, 11, 9, 10, 30, tzinfo=UTC),
            datetime.datetime(2026, 11, 17, tzinfo=UTC),
        ),
    ):
        for name, value in expected(results.asked, since, until).items():
            assert Decimal(report[name]) == value, name
        assert report["requests"] == sum(since <= one.at < until for one in results.asked)
        for upstream, teacher in (("teacher", True), ("student", False)):
            those = [one for one in results.asked if since <= one.at < until and one.teacher is teacher]
            tokens = [[p - c, c, 0, o] for p, c, o in (one.tokens for one in those)]
            sums = [sum(column) for column in zip(*tokens, strict=True)]
            assert list(report["upstreams"][upstream]["tokens"].values()) == sums
            costs = [sum(column) for column in zip(*(one.parts for one in those), strict=True)] if teacher else [0] * 3
            paid = report["upstreams"][upstream]["cost_usd"]
            assert [Decimal(paid[kind]) for kind in ("input", "cached_input", "output")] == costs
            assert [Decimal(paid[kind]) for kind in ("cache_write", "tools")] == [0, 0]


def test_break_even_is_the_hour_in_which_it_was_reached(results: Results) -> None:
    moment = reached(results.asked, Decimal("150.5"))
    assert START < moment < END
    for report in (results.report, results.admin):
        assert report["payback_at"] == moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        savings = expected(results.asked, START, END)["savings_usd"]
        assert report["payback_ratio"] == pytest.approx(float(savings / Decimal("150.5")), rel=1e-15)
    assert results.metrics["breakeven_payback_timestamp_seconds"] == moment.timestamp()


def test_the_metrics_are_the_same_figures(results: Results) -> None:
    figures = expected(results.asked, START, END)
    for metric, name in (
        ("breakeven_baseline_usd_total", "baseline_upper_bound_usd"),
        *((f"breakeven_baseline_usd{end}", f"baseline_usd{end}") for end in ("", "_lower", "_upper")),
        ("breakeven_hosting_usd_total", "hosting_usd"),
        *((f"breakeven_savings_usd{end}", f"savings_usd{end}") for end in ("", "_lower", "_upper")),
        ("breakeven_investment_usd", "investment_usd"),
    ):
        assert results.metrics[metric] == float(figures[name]), metric
    spend = sum(
        results.metrics[f'breakeven_cost_usd_total{{kind="{kind}",upstream="teacher"}}']
        for kind in ("input", "cached_input", "output")
    )
    assert round(spend, 2) == round(float(figures["teacher_spend_usd"] + figures["pinned_spend_usd"]), 2)
    served = sum(p + o for p, _, o in (one.tokens for one in results.asked if not one.teacher))
    per_million = float(figures["hosting_usd"] * 10**6 / served)
    assert results.metrics["breakeven_student_usd_per_million_tokens"] == pytest.approx(per_million, rel=1e-15)
    assert results.report["student_usd_per_million_tokens"] == pytest.approx(per_million, rel=1e-15)


def test_each_day_is_exact_and_the_weekend_has_no_rows(results: Results) -> None:
    found = {row["day"]: row for row in results.days}
    assert set(found) == {f"2026-11-{day:02}" for day in range(1, 31) if day not in WEEKEND}
    for day, row in found.items():
        those = [one for one in results.asked if one.at.strftime("%Y-%m-%d") == day]
        assert int(row["requests"]) == len(those)
        assert Decimal(row["cost_usd"]) == sum(sum(one.parts) for one in those if one.teacher)
        assert Decimal(row["baseline_usd"]) == sum(one.bill for one in those if not one.pinned)
        assert Decimal(row["baseline_upper_bound_usd"]) == sum(sum(one.parts) for one in those if not one.pinned)


def test_the_curve_falls_by_hosting_over_the_weekend(results: Results) -> None:
    curve = {point["until"][:10]: Decimal(point["savings_usd"]) for point in results.admin["curve"][1:]}
    assert curve["2026-11-14"] - curve["2026-11-15"] == 24 * Decimal("2.4")  # the first is the end of the 13th
    assert curve["2026-12-01"] == expected(results.asked, START, END)["savings_usd"]
    for day in range(2, 31):
        end = datetime.datetime(2026, 11, day, tzinfo=UTC)
        assert curve[f"2026-11-{day:02}"] == expected(results.asked, START, end)["savings_usd"]
