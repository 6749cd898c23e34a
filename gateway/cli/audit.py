"""`breakeven road audit` and `breakeven label`: a person judges stored pairs of answers, which says how far to trust
the scorer, and corrects what it measured.
"""

from __future__ import annotations

import random
import time
import unicodedata

import typer

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.conversations import Pair
from breakeven.gateway.ledger.opening import read_ledger
from breakeven.gateway.reports.labelling import by_people, candidates, corrected_text, measured, nothing_left
from breakeven.gateway.road.audit import Verdict, scorer_of, trust
from breakeven.gateway.road.choosing import Session

# Classes of characters that turn the direction of text around.
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_HELP = "a: A is better, b: B is better, t: they are as good, s: skip, q: quit"


def judge_pairs(settings: Config, workload: str, count: int, *, by_lot: bool) -> None:
    """Ask in the terminal about up to `count` pairs of a workload, drawn by lot or those whose labels narrow the
    corrected interval most. Raises BreakevenError where none is stored.
    """
    with read_ledger(settings) as ledger:
        student, since = measured(ledger, workload)
        pairs = ledger.judged_pairs.pairs(workload, since, student)
        session = Session(candidates(pairs, by_judge=settings.road.scorer == "judge", by_lot=by_lot), count)
        if not session.asked:
            raise BreakevenError(nothing_left(settings, workload))
        said = _ask_all(ledger, session, workload)
        found = trust(ledger.conversations.audited(workload, since, student))
        pairs = ledger.judged_pairs.pairs(workload, since, student)
    typer.echo(f"{said} verdict{'' if said == 1 else 's'} stored")
    if found is not None:
        verdicts = sum(one.verdict is not None for one in pairs)
        told = found.text(scorer_of(settings), settings.road.floor)
        for text in (told, corrected_text(by_people(pairs), verdicts, settings.road.floor)):
            typer.echo(text[:1].upper() + text[1:])


def _ask_all(ledger: Ledger, session: Session, workload: str) -> int:
    """Ask about each pair, and store each verdict at once; returns their number. What was not reached when the person
    went away was not asked about.
    """
    typer.echo(_HELP)
    judged: list[str] = []
    passed = 0

    def known(of: list[str]) -> None:
        ledger.judged_pairs.put_chosen(workload, _now(), session.probabilities(passed, of))

    try:
        for number, request in enumerate(session.asked, 1):
            asked = ledger.judged_pairs.asked(request)
            typer.echo(f"\npair {number} of {len(session.asked)}")
            answer = "s" if asked is None else _shown_and_answered(asked.pair)
            if answer == "q":
                break
            passed = number
            if answer != "s":
                ledger.conversations.put_verdict(request, _now(), Verdict(answer))
                judged.append(request)
                known([request])
    except (EOFError, KeyboardInterrupt):
        typer.echo("")
    finally:
        known([*session.before, *judged])
    return len(judged)


def _shown_and_answered(pair: Pair) -> str:
    """Show a pair in random order; returns the verdict's value, `s` or `q`."""
    first, second = (Verdict.STUDENT, Verdict.TEACHER)
    if random.random() < 0.5:
        first, second = second, first
    _show(pair, first)
    answer = _answer()
    return {"a": first.value, "b": second.value, "t": Verdict.TIE.value}.get(answer, answer)


def _now() -> int:
    return time.time_ns() // 1000


def _answer() -> str:
    while True:
        given = input("better (a, b, t, s, q): ").strip().lower()
        if given in ("a", "b", "t", "s", "q"):
            return given
        typer.echo(_HELP)


def _show(pair: Pair, first: Verdict) -> None:
    """Print a pair. Texts are indented, so that none of them can pass for a heading."""
    for message in pair.messages:
        _print(message.get("role", ""), message.get("content", ""))
    answers = (pair.student, pair.teacher) if first is Verdict.STUDENT else (pair.teacher, pair.student)
    for name, answer in zip("AB", answers, strict=True):
        _print(f"answer {name}", answer.shown)


def _print(heading: str, text: str) -> None:
    typer.echo(f"{_printable(heading)}:")
    for line in _printable(text).split("\n"):
        typer.echo(f"    {line}")


def _printable(text: str) -> str:
    """A text without what could control the terminal."""
    return "".join(one if _harmless(one) else "\N{REPLACEMENT CHARACTER}" for one in text)


def _harmless(one: str) -> bool:
    return one in "\n\t" or not (unicodedata.category(one) in ("Cc", "Cs") or unicodedata.bidirectional(one) in _TURNS)
