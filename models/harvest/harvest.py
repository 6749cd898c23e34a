"""Harvesting: selects among kept conversations, removes near-duplicates, mixes, and writes a dataset with a card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from breakeven.gateway.accounting.money import plain as usd
from breakeven.models.data.terms import agreed
from breakeven.models.errors import DistillError
from breakeven.models.harvest.card import card, counts_text
from breakeven.models.harvest.duplicates import near_duplicates
from breakeven.models.harvest.kept import Kept
from breakeven.models.harvest.mix import Kind, Mixed, choose, mix
from breakeven.models.harvest.select import LACKS, OTHER, Candidate, Selected, select
from breakeven.router.files import write_atomically

# What `settings.json` says of a dataset that was harvested.
_SOURCE = "harvest"


class Settings(NamedTuple):
    """The options of a harvest. `reasons`: those of LACKS and OTHER that are wanted, empty for all; `rows`: the most
    training rows, None for all; `rehearse`: see `mix.choose`; `similar`: see `duplicates`; `eval_share` is held out.
    """

    out: Path
    reasons: tuple[str, ...] = ()
    rows: int | None = None
    rehearse: float = 0.2
    eval_share: float = 0.1
    similar: float = 0.85
    consent: bool = False


class Written(NamedTuple):
    """What goes into the files, and the numbers of rows that were left out, by why."""

    train: list[Candidate]
    held_out: list[Candidate]
    left_out: dict[str, int]


def harvest(settings: Settings, kept: Sequence[Kept]) -> dict[str, Any]:
    """Write a dataset of kept conversations into the settings' `out`, in place of an earlier harvest; returns the facts
    of its card. Raises DistillError where there is nothing to write, or nobody consented.
    """
    _check(settings)
    selected = select(kept, settings.eval_share)
    wanted = [one for one in selected.candidates if _is_wanted(one, settings.reasons)]
    if not wanted:
        raise DistillError(_nothing(kept, selected))
    teachers = Counter(str(one.row["teacher_model"]) for one in wanted)
    named = ", ".join(f"{name} ({count})" for name, count in teachers.most_common())
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DistillError(f"--out {settings.out}: cannot be made a directory: {error.strerror}") from None
    if (settings.out / "journal.jsonl").exists():
        raise DistillError(f"{settings.out} holds a dataset of `breakeven distill generate`; give another --out")
    fixed = {"source": _SOURCE, "eval_share": settings.eval_share}
    terms = agreed(settings.out, fixed, consent=settings.consent, of=f"these are answers of {named}; ")
    mixed = mix(wanted)
    written, weights = _choose(settings, wanted, mixed)
    facts = _facts(settings, kept, selected, wanted, mixed, written) | {"consent": terms["consent"]}
    _write(settings.out, written, weights, selected, len({one.workload for one in kept}) > 1)
    write_atomically(settings.out / "card.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    write_atomically(settings.out / "README.md", card(facts))
    return facts


def _check(settings: Settings) -> None:
    for reason in settings.reasons:
        if reason not in (*LACKS, OTHER):
            raise DistillError(f"--reason {reason}: must be one of {', '.join((*LACKS, OTHER))}")


def _is_wanted(one: Candidate, reasons: Sequence[str]) -> bool:
    return not reasons or (one.reason if one.lacks else OTHER) in reasons


def _nothing(kept: Sequence[Kept], selected: Selected) -> str:
    """Why there is nothing to write."""
    if not kept:
        return (
            "no conversation is stored: set ledger.store_conversations: true, and wait for requests; "
            "with --workload or --since there may be none of these"
        )
    if selected.candidates:
        found = counts_text(Counter(one.reason if one.lacks else OTHER for one in selected.candidates))
        return f"no conversation has one of the reasons of --reason; there are {found}"
    why = Counter(row["reason"] for row in selected.rejected).most_common(1)
    most = f"; most of the teacher's answers are left out: {why[0][0]}" if why else ""
    return f"none of {len(kept)} stored conversations has an answer of the teacher to learn from{most}"


def _choose(settings: Settings, wanted: Sequence[Candidate], mixed: Mixed) -> tuple[Written, dict[str, float]]:
    """What is written, and the weight of each row by its id."""
    # Held-out rows come first, so that the training row is the one that is left out; then what the student lacks.
    order = sorted(range(len(wanted)), key=lambda place: (not wanted[place].held_out, _rank(wanted[place])))
    repeats = near_duplicates([wanted[place].row["messages"][:-1] for place in order], settings.similar)
    left_out: Counter[str] = Counter()
    split: dict[bool, list[int]] = {True: [], False: []}
    for place, repeated in zip(order, repeats, strict=True):
        held_out = wanted[place].held_out
        if repeated is None:
            split[held_out].append(place)
        else:
            leaks = wanted[order[repeated]].held_out and not held_out
            left_out["like a held-out row" if leaks else "near-duplicate"] += 1
    train = split[False]
    weights = [mixed.kinds[mixed.places[place]].weight for place in train]
    if settings.rows is not None and settings.rows < len(train):
        chosen = choose([wanted[place] for place in train], weights, settings.rows, settings.rehearse)
        left_out["more than --rows"] = len(train) - len(chosen)
        # The draw has mixed them already.
        train, weights = [train[number] for number in chosen], [1.0] * len(chosen)
    by_id = {wanted[place].kept.request: weight for place, weight in zip(train, weights, strict=True)}
    return Written([wanted[place] for place in train], [wanted[place] for place in split[True]], dict(left_out)), by_id


def _kind(one: Kind) -> dict[str, Any]:
    shown = one._asdict()
    return {**shown, "paid_by_traffic_usd": usd(shown.pop("cost"))}


def _rank(one: Candidate) -> int:
    return LACKS.index(one.reason) if one.lacks else len(LACKS)


def _write(out: Path, written: Written, weights: dict[str, float], selected: Selected, by_workload: bool) -> None:
    def lines(rows: Iterable[dict[str, Any]]) -> str:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def shown(row: dict[str, Any]) -> dict[str, Any]:
        # With one workload for all a report by category would say nothing; it then groups rows by their words.
        return row if by_workload else {name: value for name, value in row.items() if name != "category"}

    train = ({**shown(one.row), "weight": round(weights[one.kept.request], 4)} for one in written.train)
    write_atomically(out / "train.jsonl", lines(train), private=True)
    write_atomically(out / "eval.jsonl", lines(shown(one.row) for one in written.held_out), private=True)
    # Also those that UTF-8 cannot hold.
    rejected = "".join(json.dumps(row) + "\n" for row in selected.rejected)
    write_atomically(out / "rejected.jsonl", rejected, private=True)
    write_atomically(out / "unanswered.jsonl", lines(map(shown, selected.unanswered)), private=True)


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).date().isoformat()


def _facts(
    settings: Settings,
    kept: Sequence[Kept],
    selected: Selected,
    wanted: Sequence[Candidate],
    mixed: Mixed,
    written: Written,
) -> dict[str, Any]:
    """The content of card.json."""
    rows = [*written.train, *written.held_out]
    known = [one.cost for one in rows if one.cost is not None]
    return {
        "source": _SOURCE,
        "conversations": {
            "stored": len(kept),
            "first": _day(min(one.at for one in kept)),
            "last": _day(max(one.at for one in kept)),
            "workloads": dict(Counter(one.workload for one in kept)),
        },
        "teachers": dict(Counter(str(one.row["teacher_model"]) for one in rows)),
        "splits": {"train": len(written.train), "eval": len(written.held_out)},
        "eval_share": settings.eval_share,
        "similar": settings.similar,
        "reasons": {
            "train": dict(Counter(one.reason for one in written.train)),
            "eval": dict(Counter(one.reason for one in written.held_out)),
        },
        "left_out": {
            **written.left_out,
            **dict(Counter(row["reason"] for row in selected.rejected)),
            **({"another reason than --reason": len(selected.candidates) - len(wanted)} if settings.reasons else {}),
        },
        "unanswered": len(selected.unanswered),
        "kinds": [_kind(one) for one in mixed.kinds],
        "mixed_by": "the draw of --rows" if "more than --rows" in written.left_out else "the weight of each row",
        "cost": {"usd": "0", "paid_by_traffic_usd": usd(sum(known)), "rows_without_cost": len(rows) - len(known)},
    }
