"""The config file that `breakeven init` writes: what was answered, with a comment on each choice."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import yaml


class StudentAnswers(NamedTuple):
    """What a new user said of the student: see the options of `breakeven init`."""

    url: str
    model: str
    hosting_usd_per_hour: float
    floor: float
    store_prompts: bool


class Answers(NamedTuple):
    """What a new user said: see the options of `breakeven init`. Prices are USD per million tokens, `cached_input_usd`
    None for the input's price; `student` is None where there is none yet.
    """

    teacher_url: str
    teacher_model: str
    teacher_key_env: str
    input_usd: float
    output_usd: float
    cached_input_usd: float | None
    student: StudentAnswers | None


def starter_config(answers: Answers) -> str:
    """The text of the file."""
    return (
        "\n".join([*_teacher(answers), *(_student(answers.student) if answers.student else _NO_STUDENT), *_COMMON])
        + "\n"
    )


def _teacher(answers: Answers) -> Iterator[str]:
    yield "# Breakeven's config; docs/reference/config.md has every key. Values may come from the environment: ${NAME}."
    yield "teacher:"
    yield f"  base_url: {_scalar(answers.teacher_url)}"
    yield f"  model: {_scalar(answers.teacher_model)}"
    if answers.teacher_key_env:
        yield f"  api_key_env: {_scalar(answers.teacher_key_env)}   # the variable's name, never the key"
    prices = {"input": answers.input_usd, "cached_input": answers.cached_input_usd, "output": answers.output_usd}
    given = ", ".join(f"{kind}: {_number(usd)}" for kind, usd in prices.items() if usd is not None)
    yield f"  usd_per_million: {{{given}}}"


def _student(student: StudentAnswers) -> Iterator[str]:
    yield ""
    yield "student:"
    yield f"  base_url: {_scalar(student.url)}   # vLLM, started with `breakeven student`"
    yield f"  model: {_scalar(student.model)}"
    yield f"  hosting_usd_per_hour: {_number(student.hosting_usd_per_hour)}"
    yield ""
    yield "# Clients get the teacher's answers until a router of your own traffic promises this share of its quality."
    yield "# advance: propose waits for `breakeven apply`; auto puts it in force by itself."
    yield f"road: {{floor: {_number(student.floor)}, advance: propose}}"
    yield ""
    yield "# Consent to store prompts, so that a router can be trained on them. Without it quality is only measured."
    yield f"ledger: {{store_prompts: {'true' if student.store_prompts else 'false'}}}"


_NO_STUDENT = [
    "",
    "# Without a student everything passes through to the teacher and is accounted. After some days",
    "# `breakeven plan --from-ledger` says whether a student would pay.",
    "# student: {base_url: http://127.0.0.1:8000/v1, model: my-student, hosting_usd_per_hour: 1.20}",
]

_COMMON = [
    "",
    "# What the student cost to make, for the break-even date; `breakeven invest` adds to it later.",
    "# economics: {investment_usd: 2500, hosting_since: 2026-11-01T00:00:00Z}",
    "",
    "# Without client keys the gateway answers on this machine only. `breakeven key new team-a` makes one.",
    "# server: {host: 0.0.0.0, port: 8080}",
    "# auth:",
    "#   keys:",
    '#     - {name: team-a, sha256: "...", monthly_budget_usd: 500}',
    "",
    "# Model names that existing clients send, and what they get.",
    "# routing: {aliases: {gpt-4o: auto}}",
]


def _scalar(text: str) -> str:
    """The text as YAML in one line, quoted where it must be."""
    return yaml.safe_dump({"": text}, width=10_000, allow_unicode=True).partition(": ")[2].strip()


def _number(value: float) -> str:
    return format(Decimal(repr(value)), "f")
