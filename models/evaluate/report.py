"""The report of an evaluation: its figures from scored answers, and a Markdown version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from breakeven.gateway.accounting.money import plain
from breakeven.gateway.accounting.prices import Price, cost
from breakeven.gateway.accounting.usage import Usage
from breakeven.models.client.chat import Reply
from breakeven.models.data.clusters import cluster
from breakeven.models.data.messages import shown
from breakeven.models.data.rows import Example
from breakeven.models.errors import DistillError
from breakeven.models.evaluate import judges
from breakeven.models.evaluate.measures import percentiles, quality, weaknesses
from breakeven.router.corrected import Case, corrected

_SHOWN = 400
# The report suggests how to distribute this many new rows over the kinds of prompts.
_NEXT = 100


class Scored(NamedTuple):
    """An example with both answers and their scores in [0, 1]; `teacher` is None if its answer is the row's."""

    example: Example
    student: Reply
    teacher: Reply | None
    teacher_text: str
    student_score: float
    teacher_score: float

    def responses(self) -> tuple[str, str]:
        """The student's and the teacher's answer for people, with their calls of tools as JSON."""
        by_teacher = self.example.calls() if self.teacher is None else self.teacher.tool_calls
        student = shown({"content": self.student.text, "tool_calls": self.student.tool_calls})
        return student, shown({"content": self.teacher_text, "tool_calls": by_teacher})

    def case(self) -> Case:
        """The pair as people's labels correct it: the row's `label`, chosen with its `label_probability`, or by lot."""
        chosen = self.example.record.get("label_probability", 1.0)
        return Case(self.student_score, self.teacher_score, 1.0, label(self.example), float(chosen))

    def teacher_tokens(self) -> tuple[int, int] | None:
        """The prompt and output tokens of the teacher's answer, or None where they are not known."""
        if self.teacher is not None:
            usage = self.teacher.usage
            return (usage.prompt, usage.output) if usage.complete else None
        stored = self.example.record.get("teacher_usage")
        counts = [stored.get(name) for name in ("prompt_tokens", "output_tokens")] if isinstance(stored, dict) else []
        whole = [count for count in counts if isinstance(count, int) and not isinstance(count, bool)]
        return (whole[0], whole[1]) if len(whole) == 2 else None


def label(example: Example) -> str | None:
    """What a person found better in this row: student, teacher or tie; None without a label.

    Raises DistillError for another label, and for a `label_probability` that is none.
    """
    found, chosen = example.record.get("label"), example.record.get("label_probability", 1.0)
    if found is None:
        return None
    if found not in ("student", "teacher", "tie"):
        raise DistillError(f"row {example.id}: label must be student, teacher or tie")
    if isinstance(chosen, bool) or not isinstance(chosen, int | float) or not 0.0 < chosen <= 1.0:
        raise DistillError(f"row {example.id}: label_probability must be above 0 and at most 1")
    return str(found)


def report(scored: Sequence[Scored], *, worst: int, teacher_prices: Price, measured: bool = True) -> dict[str, Any]:
    """All figures as a dict for JSON. `worst`: how many of the worst answers to include; `measured`: whether the scores
    measure anything; without, no share of the teacher's quality is told.

    Raises ValueError as `measures.quality` does, and DistillError as `label` does.
    """
    student, teacher = [one.student_score for one in scored], [one.teacher_score for one in scored]
    kinds = [one.example.category or "none" for one in scored]
    made: dict[str, Any] = {"rows": len(scored), "overall": _quality(scored, measured=measured), "categories": {}}
    by_people = corrected([one.case() for one in scored])
    made["overall"]["corrected"] = (
        None if by_people is None else by_people._asdict() | {"retained": by_people.retained._asdict()}
    )
    for kind in sorted(set(kinds)):
        here = [one for one in scored if (one.example.category or "none") == kind]
        if any(one.teacher_score for one in here):
            made["categories"][kind] = _quality(here, measured=measured)
    made["student"] = _latency_and_tokens([one.student for one in scored])
    made["teacher"] = _latency_and_tokens([one.teacher for one in scored if one.teacher is not None]) | _tokens(
        scored, teacher_prices
    )
    gaps = sorted(scored, key=lambda one: (one.student_score - one.teacher_score, one.example.id))
    made["worst"] = [_shown(one) for one in gaps[:worst] if one.student_score < one.teacher_score]
    made["next"] = [
        one._asdict() | {"rows_to_add_of_100": round(_NEXT * one.share)}
        for one in weaknesses(_kinds(scored, kinds), student, teacher)
    ]
    return made


def markdown(made: Mapping[str, Any]) -> str:
    """The report in Markdown, from what `report` returned and the keys that `evaluate` adds."""
    return "\n".join(_lines(made)) + "\n"


def _lines(made: Mapping[str, Any]) -> Iterator[str]:
    overall = made["overall"]
    yield "# Student against teacher\n"
    yield (
        f"On {made['rows']} held-out prompts, scored by `{made['scorer']}`, the student retains "
        f"**{_percent(overall['retained'])}** of the teacher's quality.\n"
    )
    found = overall["corrected"]
    if found is not None:
        yield (
            f"Corrected by {found['labels']} labels of people: **{_percent(found['retained'])}**, also where the "
            "scorer errs to one side.\n"
        )
    if made["rows_without_score"]:
        yield f"{made['rows_without_score']} rows have no score and are left out.\n"
    yield "| | rows | student | teacher | retained, 95% interval | better | equal | worse |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, one in (("all", overall), *made["categories"].items()):
        yield (
            f"| {name} | {one['rows']} | {one['student']:.3f} | {one['teacher']:.3f} | {_percent(one['retained'])} | "
            f"{one['wins']:.1%} | {one['ties']:.1%} | {one['losses']:.1%} |"
        )
    yield "\n| | student | teacher |\n| --- | --- | --- |"
    for name in ("seconds_p50", "seconds_p95", "prompt_tokens", "output_tokens", "usd"):
        yield f"| {name} | {_cell(made['student'].get(name))} | {_cell(made['teacher'].get(name))} |"
    judge = made["judge"]
    if judge is not None:
        yield from judges.lines(judge)
    yield f"\nThis evaluation cost {made['cost']['usd']} USD.\n"
    yield "## What to add next\n"
    for one in made["next"] or ():
        yield (
            f"- {one['rows_to_add_of_100']} of the next 100 rows: {one['name']} "
            f"({one['share']:.0%} of the quality gap; mean gap {one['gap']:.3f} on {one['rows']} rows)"
        )
    if not made["next"]:
        yield "The student loses nothing on these rows."
    yield "\n## Worst answers\n"
    for one in made["worst"]:
        yield f"- `{one['id']}`: {one['student_score']:.2f} against {one['teacher_score']:.2f}"


def _quality(scored: Sequence[Scored], *, measured: bool) -> dict[str, Any]:
    found = quality([one.student_score for one in scored], [one.teacher_score for one in scored])
    return found._asdict() | {"retained": found.retained._asdict() if measured else None}


def _latency_and_tokens(replies: Sequence[Reply]) -> dict[str, Any]:
    """The latency percentiles of the replies, and their mean token counts where the API reported them."""
    times = percentiles([one.seconds for one in replies])
    counted = [one.usage for one in replies if one.usage.complete]
    made: dict[str, Any] = {} if times is None else {"seconds_p50": times[0], "seconds_p95": times[1]}
    if counted:
        made["prompt_tokens"] = sum(usage.prompt for usage in counted) / len(counted)
        made["output_tokens"] = sum(usage.output for usage in counted) / len(counted)
    return made


def _tokens(scored: Sequence[Scored], prices: Price) -> dict[str, Any]:
    """The teacher's mean token counts, and the cost of its answers to these rows at `prices`."""
    counts = [tokens for one in scored if (tokens := one.teacher_tokens()) is not None]
    if not counts:
        return {}
    spent = sum(cost(Usage(prompt, 0, output, True), prices).total for prompt, output in counts)
    return {
        "prompt_tokens": sum(prompt for prompt, _ in counts) / len(counts),
        "output_tokens": sum(output for _, output in counts) / len(counts),
        "usd": plain(spent),
    }


def _kinds(scored: Sequence[Scored], categories: list[str]) -> list[str]:
    """The kind of each prompt: its category, or a cluster by words where no row has a category."""
    if any(one.example.category is not None for one in scored):
        return categories
    found = cluster([one.example.text() for one in scored])
    return categories if found is None else [f"prompts about {found.names[label]}" for label in found.labels]


def _shown(one: Scored) -> dict[str, Any]:
    student, teacher = one.responses()
    return {
        "id": one.example.id,
        "category": one.example.category,
        "prompt": one.example.text()[:_SHOWN],
        "student": student[:_SHOWN],
        "teacher": teacher[:_SHOWN],
        "student_score": one.student_score,
        "teacher_score": one.teacher_score,
    }


def _percent(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "not measured"
    return f"{interval['value']:.1%} ({interval['low']:.1%} to {interval['high']:.1%})"


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
