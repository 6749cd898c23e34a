"""What an evaluation says of its judges: consistency of the two orders, length, and agreement with people's labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from breakeven.models.scoring.judge import Judged, Judgement, agreement
from breakeven.models.scoring.panel import Rule, together
from breakeven.router.judging import Consistency, Length, Orders, consistency, length


class JudgedPair(NamedTuple):
    """What is known of a pair beside the judgements: the lengths of both answers in characters, and a person's label
    (student, teacher or tie), or None.
    """

    student: int
    teacher: int
    label: str | None


class Panel(NamedTuple):
    """The judgements of all judges as one, and the part of the report on them. `fault`: why they measure nothing, in a
    sentence; None where they do.
    """

    judgements: list[Judgement | None]
    report: dict[str, Any]
    fault: str | None


def panel(names: Sequence[str], of_judges: Sequence[Judged], pairs: Sequence[JudgedPair], rule: Rule) -> Panel:
    """Put the judgements together. A judge whose verdicts measure nothing is left out where there are others."""
    told = [_told(name, one, pairs) for name, one in zip(names, of_judges, strict=True)]
    reading = [one.judgements for one, said in zip(of_judges, told, strict=True) if said["reads"]]
    found = together(reading or [one.judgements for one in of_judges], rule)
    labels = [one.label for one in pairs]
    agreed = agreement(found, labels)
    report = {
        "unreadable": sum(one.unreadable for one in of_judges),
        "cut_off": sum(one.cut_off for one in of_judges),
        "agreement_with_labels": None if agreed is None else agreed._asdict(),
        "rule": rule if len(names) > 1 else None,
        "judges": told,
    }
    fault = None
    if not reading and told:
        words = "; ".join(f"the judge {one['model']} {one['text']}" for one in told)
        fault = f"the quality is not measured: {words}; choose another --judge-model"
    return Panel(found, report, fault)


def lines(judge: Mapping[str, Any]) -> Iterator[str]:
    """Paragraphs of the report in Markdown, from what `panel` made."""
    for one in judge["judges"]:
        yield f"\nThe judge `{one['model']}` {one['text']}." if one["text"] else f"\n`{one['model']}` judged no pair."
        if judge["rule"] is not None and not one["reads"]:
            yield "It is left out of the panel."
        if one["length"] is not None:
            yield f"It {one['length']['text']}."
    found = judge["agreement_with_labels"]
    verdicts = f"{judge['unreadable']} verdict{'' if judge['unreadable'] == 1 else 's'}"
    yield f"\n{verdicts} could not be read."
    if judge["cut_off"]:
        yield (
            f"On {judge['cut_off']} pairs the verdict was cut off by its limit of tokens, and does not count: run "
            "again with a higher --judge-max-tokens."
        )
    if judge["rule"] is not None:
        yield f"The panel's verdict is the {judge['rule']} of its judges."
    if found is None:
        yield "No row has a label: the agreement of this judge with people is not known."
    else:
        kappa = "" if found["kappa"] is None else f"{found['kappa']:.3f}"
        yield (
            f"It agrees with {found['agreed']:.1%} of {found['labelled']} labels (kappa {kappa}); both orders agree on "
            f"{found['consistent']:.1%} of these."
        )


def _told(name: str, judged: Judged, pairs: Sequence[JudgedPair]) -> dict[str, Any]:
    """The report on one judge."""
    given = [(one, pair) for one, pair in zip(judged.judgements, pairs, strict=True) if one is not None]
    found = consistency([Orders(one.letters, one.consistent) for one, _ in given])
    by_length = length([(one.winner, pair.student, pair.teacher) for one, pair in given])
    agreed = agreement(judged.judgements, [pair.label for pair in pairs])
    return {
        "model": name,
        "unreadable": judged.unreadable,
        "reads": found is None or found.reads,
        "text": "" if found is None else found.text(),
        "consistency": _of_consistency(found),
        "length": _of_length(by_length),
        "agreement_with_labels": None if agreed is None else agreed._asdict(),
    }


def _of_consistency(found: Consistency | None) -> dict[str, Any] | None:
    return None if found is None else found._asdict() | {"same": found.same._asdict()}


def _of_length(found: Length | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return found._asdict() | {"longer": found.longer._asdict(), "follows": found.follows, "text": found.text()}
