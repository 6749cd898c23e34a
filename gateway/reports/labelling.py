"""People's verdicts on compared pairs: which pairs to ask about, and the quality that they correct."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import NamedTuple

from breakeven.gateway.config.schema import Config
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.conversations import Asked
from breakeven.gateway.ledger.judged import ComparedPair
from breakeven.gateway.road.audit import Verdict, scorer_of, trust
from breakeven.gateway.road.choosing import Candidate, Queue, size
from breakeven.gateway.road.judges import consistent
from breakeven.gateway.road.stages import State, read_state
from breakeven.router.corrected import LEAST, Case, Corrected, corrected


def candidates(pairs: Sequence[ComparedPair], *, by_judge: bool, by_lot: bool) -> list[Candidate]:
    """The pairs whose conversation is stored. `by_lot`: all of the same size, else by how much the scorer may err on
    them; `by_judge`: whether a judge scores, so that texts of which it said nothing were equal.
    """
    return [
        Candidate(one.request, 1.0 if by_lot else _size(one, by_judge=by_judge), one.verdict is not None)
        for one in pairs
        if one.stored
    ]


def by_people(pairs: Sequence[ComparedPair]) -> Corrected | None:
    """The share of the teacher's quality that the student keeps, as people's verdicts correct the scorer's; None with
    too few verdicts.
    """
    return corrected(
        [
            Case(
                one.student,
                one.teacher,
                one.weight,
                None if one.verdict is None else one.verdict.value,
                1.0 if one.chosen is None else one.chosen,
            )
            for one in pairs
        ]
    )


def corrected_text(found: Corrected | None, verdicts: int, floor: float) -> str:
    """For people. `verdicts`: how many there are of the pairs that count now."""
    if found is None:
        return f"{LEAST - verdicts} more verdicts of people, and they correct the student's quality"
    kept = found.retained
    said = (
        f"corrected by {found.labels} verdicts of people the student alone keeps {kept.value:.1%} ({kept.low:.1%} to "
        f"{kept.high:.1%}) of the teacher's quality"
    )
    return said if kept.high >= floor else f"{said}, surely less than the floor of {floor:.1%}"


def _size(one: ComparedPair, *, by_judge: bool) -> float:
    if one.judged is not None:
        return size(one.student, one.teacher, one.weight, consistent=consistent(one.judged))
    return size(one.student, one.teacher, one.weight, same_text=by_judge and one.student == one.teacher)


class Asking(NamedTuple):
    """What a person is asked next about a workload. `asked`: None where no pair is left, and then `hint` says why;
    `first` and `second`: its answers in their random order; `scorer` and `quality`: what is known so far, in words.
    """

    asked: Asked | None
    first: str
    second: str
    waiting: int
    verdicts: int
    scorer: str
    quality: str
    hint: str | None


def next_pair(ledger: Ledger, config: Config, workload: str, skipped: str | None) -> Asking:
    """The pair whose label tells most, of those after the one that was `skipped` last. Raises LedgerError."""
    student, since = measured(ledger, workload)
    pairs = ledger.judged_pairs.pairs(workload, since, student)
    queue = Queue(candidates(pairs, by_judge=config.road.scorer == "judge", by_lot=False))
    asked = next((found for one in queue.after(skipped) if (found := ledger.judged_pairs.asked(one))), None)
    answers = ("", "") if asked is None else (asked.pair.student.shown, asked.pair.teacher.shown)
    if asked is not None and not student_first(asked.request):
        answers = (answers[1], answers[0])
    trusted = trust(ledger.conversations.audited(workload, since, student))
    verdicts = sum(one.verdict is not None for one in pairs)
    return Asking(
        asked,
        *answers,
        len(queue.waiting),
        verdicts,
        "" if trusted is None else _sentence(trusted.text(scorer_of(config), config.road.floor)),
        _sentence(corrected_text(by_people(pairs), verdicts, config.road.floor)),
        None if asked is not None else _sentence(nothing_left(config, workload)),
    )


def label(ledger: Ledger, config: Config, workload: str, request: str, better: str, skipped: str | None) -> bool:
    """Store a person's verdict on a pair: that the `first` or `second` answer is better, or `tie`. False, and nothing
    stored, where it is not the next one after the one that was `skipped` last. Raises LedgerError.
    """
    student, since = measured(ledger, workload)
    pairs = ledger.judged_pairs.pairs(workload, since, student)
    queue = Queue(candidates(pairs, by_judge=config.road.scorer == "judge", by_lot=False))
    passed = queue.passed(request, skipped)
    if passed is None:
        return False
    verdict = Verdict.TIE
    if better != "tie":
        verdict = Verdict.STUDENT if (better == "first") == student_first(request) else Verdict.TEACHER
    now = time.time_ns() // 1000
    ledger.conversations.put_verdict(request, now, verdict)
    ledger.judged_pairs.put_chosen(workload, now, queue.probabilities(passed, [*queue.before, request]))
    return True


def measured(ledger: Ledger, workload: str) -> tuple[str, int]:
    """The version of the student that is compared, and since when by the scorer of now. Raises LedgerError."""
    _, document = ledger.road.states().get(workload, (0, ""))
    state = read_state(workload, document) if document else State(workload)
    newest = ledger.road.newest_versions(workload)
    return state.student or ("" if newest is None else newest[0]), state.scored_since


def nothing_left(config: Config, workload: str) -> str:
    """Why no pair can be asked about, and what to do."""
    if not config.ledger.store_conversations:
        return "no pair is stored: set ledger.store_conversations: true, and wait for comparisons"
    return f"workload {workload}: no stored pair is left that nobody has judged; wait for more comparisons"


def student_first(request: str) -> bool:
    """Whether the student's answer to a request is shown first: drawn once for each, and even."""
    return hashlib.sha256(f"order:{request}".encode()).digest()[0] % 2 == 0


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
