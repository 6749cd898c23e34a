"""Run the demo: start the processes, send the prompts, print the summary."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from breakeven.gateway.accounting.money import dollars, exact, picodollars
from breakeven.gateway.demo import comparisons
from breakeven.gateway.demo.load_generator import Result, send_all
from breakeven.gateway.demo.processes import DemoError, free_port, gateway, replay
from breakeven.gateway.demo.rows import DemoRow
from breakeven.gateway.economics.baseline import Estimate
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.statements import Books, read
from breakeven.gateway.reports.report import books_to_dict
from breakeven.router.model.artifact import load
from breakeven.router.policy import Route
from breakeven.router.text import read_chat

# Scores, in [0, 1], an answer that was not recorded, such as one of a real upstream.
Checker = Callable[[DemoRow, str], float]


class Prices(msgspec.Struct, frozen=True):
    """Prices of the demo: USD per million tokens, USD per hour of hosting, and the investment in USD."""

    input: Decimal = Decimal("15")
    cached_input: Decimal = Decimal("1.5")
    output: Decimal = Decimal("60")
    hosting_per_hour: Decimal = Decimal("1.20")
    investment: Decimal = Decimal("100")


class Setup(msgspec.Struct, frozen=True):
    """Options of the demo. Without a threshold it is solved for `teacher_share`, the share of prompts for the teacher.

    `student` and `teacher` are config sections of real upstreams; None: replay the recorded answers. `once`: return
    after the summary instead of keeping the gateway running. `artifact`: None is the shipped router.
    """

    port: int = 8080
    once: bool = False
    threshold: float | None = None
    teacher_share: float = 0.25
    prices: Prices = Prices()
    artifact: Path | None = None
    student: dict[str, object] | None = None
    teacher: dict[str, object] | None = None


def run(rows: Sequence[DemoRow], setup: Setup, console: Console, check: Checker | None = None) -> dict[str, object]:
    """Run the demo on `console`, and return the figures of the summary table as JSON values.

    Unless `setup.once` it then waits for SIGINT or SIGTERM. `check` scores the answers of real upstreams; without it
    their quality is left out. Raises DemoError.
    """
    threshold, to_student = _solve(rows, setup)
    with tempfile.TemporaryDirectory(prefix="breakeven-demo-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        sections = {}
        for side, model, section in (
            ("student", "replayed-student", setup.student),
            ("teacher", "replayed-teacher", setup.teacher),
        ):
            if section is None:
                section = {"base_url": stack.enter_context(replay(model, side, rows, folder)), "model": model}
            sections[side] = dict(section)
        road = comparisons.section(len(rows), to_student)
        config = _write_config(folder, {**sections, "road": road}, threshold, setup)
        url = stack.enter_context(gateway(config, free_port(setup.port), folder))
        console.print(f"gateway: [bold]{url}[/bold]  threshold {threshold:.4f}, router {load(setup.artifact).hash}")
        results = _send_all(url, rows, console)
        comparisons.wait(url)  # each scrape also writes all settled requests to the ledger
        figures = _figures(folder, results, setup.prices, check, live=bool(setup.student or setup.teacher))
        console.print(_table(figures))
        if setup.once:
            return figures
        console.print(
            "\nThe gateway keeps running; try it, and stop it with Ctrl-C:\n"
            f"  curl -i {url}/v1/chat/completions -H 'content-type: application/json' \\\n"
            f"    -d '{_example(results)}'\n"
            f"  curl {url}/metrics",
            markup=False,
            highlight=False,
        )
        _until_stopped()
    return figures


def _example(results: Sequence[Result]) -> str:
    """A request body for curl: the shortest prompt that the student answered, with a recorded score of 1."""
    quotable = [p for p in results if not set(p.row.prompt) & set("'\\\n")]
    good = [p for p in quotable if p.route == Route.STUDENT and p.row.student.score == 1] or quotable
    prompt = min((p.row.prompt for p in good), key=len, default="Hello")
    return json.dumps({"messages": [{"role": "user", "content": prompt}]}, ensure_ascii=False)


def _solve(rows: Sequence[DemoRow], setup: Setup) -> tuple[float, int]:
    """The threshold, of itself or the one that sends `teacher_share` of these prompts to the teacher, and the number of
    prompts that it leaves to the student.
    """
    assess = load(setup.artifact).assess
    scores = sorted(
        (assess(read_chat([{"role": "user", "content": row.prompt}]).text).score for row in rows), reverse=True
    )
    count = min(len(scores), round(setup.teacher_share * len(scores)))
    threshold = scores[count - 1] if count else min(1.0, float(np.nextafter(scores[0], 2.0)))
    if setup.threshold is not None:
        threshold = setup.threshold
    return threshold, sum(score < threshold for score in scores)


def _write_config(folder: Path, sections: dict[str, dict[str, object]], threshold: float, setup: Setup) -> Path:
    prices = setup.prices
    sections["student"]["hosting_usd_per_hour"] = str(prices.hosting_per_hour)
    usd = {"input": prices.input, "cached_input": prices.cached_input, "output": prices.output}
    sections["teacher"]["usd_per_million"] = {kind: str(value) for kind, value in usd.items()}
    document = {
        **sections,
        "routing": {
            "threshold": threshold,
            "novelty_threshold": 1.0,
            "artifact": str(setup.artifact.resolve()) if setup.artifact is not None else None,
        },
        "economics": {"investment_usd": str(prices.investment)},
    }
    path = folder / "breakeven.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def _send_all(url: str, rows: Sequence[DemoRow], console: Console) -> list[Result]:
    counts = {"student": 0, "teacher": 0, "failed": 0}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("requests", total=len(rows))

        def done(result: Result) -> None:
            counts[result.route or "failed"] += 1
            shown = "  ".join(f"{name} {count}" for name, count in counts.items() if count or name != "failed")
            progress.update(task, advance=1, description=shown)

        return send_all(url, rows, done)


def _figures(
    folder: Path, results: Sequence[Result], prices: Prices, check: Checker | None, *, live: bool
) -> dict[str, object]:
    """The figures of the table: those of the ledger, and the quality of the answers."""
    ledger = Ledger.open(f"sqlite:///{folder / 'breakeven.db'}", journal=folder / "reading")
    try:
        books = read(ledger, time.time_ns() // 1000)
    finally:
        ledger.close()
    answered = [p for p in results if p.route is not None and p.answer is not None]
    if not answered:
        raise DemoError("no request was answered; check that the upstreams are running")

    def quality(one: Result) -> float:
        if live:
            # Real answers can be scored only for the recorded set, which has a checker for each prompt.
            return check(one.row, one.answer or "") if check is not None else math.nan
        return one.row.student.score if one.route == Route.STUDENT else one.row.teacher.score

    routed = sum(map(quality, answered))
    teacher_alone = sum(p.row.teacher.score for p in answered)
    student_alone = sum(p.row.student.score for p in answered)
    share = sum(p.route == Route.TEACHER for p in answered) / len(answered)
    by_chance = student_alone + share * (teacher_alone - student_alone)
    known = sum(
        (prices.input * p.row.teacher.prompt_tokens + prices.output * p.row.teacher.output_tokens for p in answered),
        start=Decimal(0),
    )
    by_teacher = picodollars(known / 1_000_000)
    return {
        **books_to_dict(books),
        "failed": len(results) - len(answered),
        "quality": routed / len(answered) if math.isfinite(routed) else None,
        "teacher_quality": teacher_alone / len(answered),
        "student_quality": student_alone / len(answered),
        "quality_kept": routed / teacher_alone if teacher_alone and math.isfinite(routed) else None,
        "quality_kept_by_chance": by_chance / teacher_alone if teacher_alone else None,
        **_known(books, by_teacher),
    }


def _known(books: Books, by_teacher: int) -> dict[str, object]:
    """What only the demo knows, the baseline by the teacher's recorded answers, and the money as shown in the table."""
    statement = books.statement
    saved = by_teacher - statement.routed_spend - statement.hosting
    return {
        "baseline_by_teacher_answers_usd": exact(by_teacher),
        "savings_by_teacher_answers_usd": exact(saved),
        "shown": {
            "by_teacher": dollars(by_teacher),
            "saved_by_teacher": dollars(saved),
            "baseline": _shown(statement.baseline, statement.traffic.upper_bound),
            "spend": dollars(statement.routed_spend),
            "shadow": dollars(statement.shadow_spend),
            "hosting": dollars(statement.hosting),
            "savings": _shown(statement.savings, statement.savings_upper_bound),
            "investment": dollars(statement.investment),
        },
    }


def _shown(estimate: Estimate | None, at_most: int) -> str:
    if estimate is None:
        return f"at most {dollars(at_most)}, not measured yet"
    return f"{dollars(estimate.value)} ({dollars(estimate.low)} to {dollars(estimate.high)})"


def _table(figures: dict[str, object]) -> Table:
    shown, upstreams = figures["shown"], figures["upstreams"]
    assert isinstance(shown, dict)
    assert isinstance(upstreams, dict)
    table = Table(title="Summary", title_justify="left")
    for name, justify in (("", "left"), ("student", "right"), ("teacher", "right"), ("total", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    both = [upstreams["student"], upstreams["teacher"]]

    def counts(name: str, values: list[int]) -> None:
        table.add_row(name, *(f"{value:,}" for value in (*values, sum(values))))

    counts("requests", [of["requests"] for of in both])
    counts("prompt tokens", [of["tokens"]["input"] + of["tokens"]["cached_input"] for of in both])
    counts("output tokens", [of["tokens"]["output"] for of in both])
    table.add_row("spend", f"{shown['hosting']} hosting", shown["spend"], "")
    table.add_row(f"  of it for {figures['compared_pairs']} comparisons", "", shown["shadow"], "")
    table.add_section()
    table.add_row("baseline: all prompts sent to the teacher", "", "", shown["baseline"])
    table.add_row("  by the teacher's recorded answers, known here", "", "", shown["by_teacher"])
    table.add_row("savings (95% interval)", "", "", shown["savings"])
    table.add_row("  by the teacher's recorded answers, known here", "", "", shown["saved_by_teacher"])
    table.add_row("quality relative to the teacher alone", "", "", _percent(figures["quality_kept"]))
    table.add_row(
        "  at random routing with the same teacher share", "", "", _percent(figures["quality_kept_by_chance"])
    )
    table.add_row("quality of the student alone, the teacher alone", *_both(figures), "")
    table.add_row("investment", "", "", shown["investment"])
    table.add_row("paid back so far", "", "", _percent(figures["payback_ratio"]))
    table.add_row("break-even", "", "", str(figures["payback_at"] or "no date: it takes three full days"))
    if figures["failed"]:
        table.add_row("failed requests", "", "", str(figures["failed"]))
    return table


def _both(figures: dict[str, object]) -> tuple[str, str]:
    return _percent(figures["student_quality"]), _percent(figures["teacher_quality"])


def _percent(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, float) else "-"


def _until_stopped() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
