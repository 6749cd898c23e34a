"""The figures of the demo: those of the ledger, and the quality of the answers, which the demo knows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breakeven.gateway.accounting.money import dollars, exact, picodollars
from breakeven.gateway.demo.load_generator import Result
from breakeven.gateway.demo.processes import DemoError
from breakeven.gateway.demo.rows import DemoRow
from breakeven.gateway.demo.settings import Prices
from breakeven.gateway.demo.stages import Played
from breakeven.gateway.economics.baseline import Estimate
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.statements import Books, read
from breakeven.gateway.reports.report import books_to_dict
from breakeven.router.policy import Route
from breakeven.router.statistics import proportion, ratio_of_means

# Scores, in [0, 1], an answer that was not recorded, such as one of a real upstream.
Checker = Callable[[DemoRow, str], float]
Array = NDArray[np.float64]

_RESAMPLES = 2000
_SEED = 20261128
_KEPT = ("quality_kept", "quality_kept_by_student", "quality_kept_by_chance", "quality_kept_at_best")


def figures(folder: Path, played: Played, prices: Prices, check: Checker | None, *, live: bool) -> dict[str, object]:
    """The figures as JSON values: of the ledger in `folder`, and of the answers to the prompts that were played.

    `check` scores the answers of real upstreams, of which there are some if `live`. Raises DemoError where no request
    was answered, and LedgerError.
    """
    ledger = Ledger.open(f"sqlite:///{folder / 'breakeven.db'}", journal=folder / "reading")
    try:
        books = read(ledger, time.time_ns() // 1000)
    finally:
        ledger.close()
    every = [*played.before, *played.after]
    answered = _answered(every)
    if not answered:
        raise DemoError("no request was answered; check that the upstreams are running")
    known = sum(
        (prices.input * p.row.teacher.prompt_tokens + prices.output * p.row.teacher.output_tokens for p in answered),
        start=Decimal(0),
    )
    return {
        **books_to_dict(books),
        "failed": len(every) - len(answered),
        "teacher_quality": _mean([p.row.teacher.score for p in answered]),
        "student_quality": _mean([p.row.student.score for p in answered]),
        **_quality(_answered(played.after), check, live=live),
        "observed_requests": len(played.before),
        "workload": played.workload,
        **_known(books, picodollars(known / 1_000_000)),
    }


def _answered(results: Sequence[Result]) -> list[Result]:
    return [one for one in results if one.route is not None and one.answer is not None]


def _quality(routed: Sequence[Result], check: Checker | None, *, live: bool) -> dict[str, object]:
    """The quality of the answers to the prompts that were routed, and what the student alone, chance and an oracle
    would have kept of the teacher's on the same ones. All are None where nothing was routed.
    """
    none = {name + end: None for name in _KEPT for end in ("", "_lower", "_upper")}
    found: dict[str, object] = {"routed_requests": len(routed), "teacher_share": None, "quality": None, **none}
    if not routed:
        return found
    student = np.array([one.row.student.score for one in routed])
    teacher = np.array([one.row.teacher.score for one in routed])
    to_teacher = np.array([one.route == Route.TEACHER for one in routed])
    share = float(to_teacher.mean())
    scores = np.array([_score(one, check, live=live) for one in routed])
    hardest = np.argsort(student - teacher, kind="stable")[: int(to_teacher.sum())]
    best = student.copy()
    best[hardest] = teacher[hardest]
    for name, kept in zip(_KEPT, (scores, student, student + share * (teacher - student), best), strict=True):
        found |= _interval(name, kept, teacher)
    mean = float(scores.mean())
    return found | {"teacher_share": share, "quality": mean if math.isfinite(mean) else None}


def _score(one: Result, check: Checker | None, *, live: bool) -> float:
    if live:
        # Real answers can be scored only for the recorded set, which has a checker for each prompt.
        return check(one.row, one.answer or "") if check is not None else math.nan
    return one.row.student.score if one.route == Route.STUDENT else one.row.teacher.score


def _interval(name: str, kept: Array, teacher: Array) -> dict[str, float | None]:
    if not teacher.mean():
        return {}
    if (teacher == 1.0).all() and np.isin(kept, (0.0, 1.0)).all():
        # The bootstrap knows no error where all are right.
        found = proportion(int(kept.sum()), len(kept))
    else:
        found = ratio_of_means(kept, teacher, resamples=_RESAMPLES, seed=_SEED)
    values = dict(zip(("", "_lower", "_upper"), found, strict=True))
    return {name + end: value if math.isfinite(value) else None for end, value in values.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _known(books: Books, by_teacher: int) -> dict[str, Any]:
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
